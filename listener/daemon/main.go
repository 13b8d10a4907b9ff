package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
)

// The exit codes; scripts depend on them.
const (
	exitDone       = 0 // done
	exitFailed     = 1 // failed
	exitUsage      = 2 // wrong usage or configuration
	exitNotRunning = 3 // the daemon is not running
	exitNotSo      = 4 // the condition does not hold
)

// errUsage marks errors of the command line.
var errUsage = errors.New("wrong usage")

// Main is the main function of a listenerd with the given modules: it reads the
// command line and returns the exit code. A custom daemon is
//
//	func main() { os.Exit(daemon.Main(mymodule.Module)) }
func Main(modules ...listener.Module) int {
	end := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		end = append(end, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), end...)
	defer stop()
	context.AfterFunc(ctx, stop)   // a second signal kills
	signal.Ignore(syscall.SIGXFSZ) // a file at its size limit is a write error, for its writer to handle
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr, modules)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer, modules []listener.Module) int {
	root := newCommand(modules)
	root.SetArgs(args)
	root.SetOut(plain{stdout})
	root.SetErr(stderr) // a terminal, for the progress
	err := root.ExecuteContext(ctx)
	stderr = plain{stderr}
	if err == nil {
		return exitDone
	}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems.Error())
		return exitUsage
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "listenerd: %v\nRun 'listenerd --help' for usage.\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "listenerd: %v\n", err)
	switch {
	case errors.Is(err, admin.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, ErrHeld), errors.Is(err, errNotReached):
		return exitNotSo
	}
	return exitFailed
}

// Version returns the version of the program that was built.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func newCommand(modules []listener.Module) *cobra.Command {
	cli := &commandLine{modules: modules}
	root := &cobra.Command{
		Use:           "listenerd",
		Short:         "Follow an LDAP directory and call handler modules with every change",
		Args:          noArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.PersistentFlags().StringVarP(&cli.file, "config", "c", "/etc/listenerd/listenerd.yaml", "configuration `file`")
	root.AddCommand(cli.run(), cli.check(), cli.list(), cli.status(), cli.explain(), cli.failed(), cli.pause(), cli.resume(), cli.resync(), cli.forget(), cli.wait(), cli.release(), cli.worker(), versionCommand())
	root.InitDefaultCompletionCmd(root.Name())
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		c.Args, c.RunE = noArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	return root
}

// noArgs refuses arguments and unknown commands.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() && !cmd.HasSubCommands() {
		return fmt.Errorf("%w: %s takes no argument, and %q was given", errUsage, cmd.Name(), args[0])
	}
	_, parents, _ := strings.Cut(cmd.CommandPath(), " ")
	return fmt.Errorf("%w: unknown command %q", errUsage, strings.TrimSpace(parents+" "+args[0]))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "listenerd", Version())
			return err
		},
	}
}

// terminal returns the file if it is a terminal.
func terminal(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

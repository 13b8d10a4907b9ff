package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/listenerd/listenerd/listener"
	"github.com/listenerd/listenerd/listener/internal/admin"
	"github.com/listenerd/listenerd/listener/internal/config"
	"github.com/listenerd/listenerd/listener/internal/worker"
)

// commandLine is what the commands share.
type commandLine struct {
	modules []listener.Module
	file    string
}

func (c *commandLine) config() (*config.Config, error) {
	return loadConfig(Options{ConfigFile: c.file}, c.modules)
}

func (c *commandLine) run() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "run", Short: "Follow the directory and call the modules", Args: noArgs,
		Long: `Follow the directory and call the modules, until SIGTERM, SIGINT or SIGHUP.

With --once: bring the mirror up to date, deliver everything, call post_run and exit: 0
when nothing is owed, 1 when calls are left (they wait for the next run), 4 when removes
are held back (see release).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := worker.Executable()
			if err != nil {
				return err
			}
			d, err := New(Options{
				ConfigFile: c.file, Once: once, Progress: terminal(cmd.ErrOrStderr()), Worker: []string{program, "worker"},
			}, c.modules...)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "exit when everything is delivered")
	return cmd
}

func (c *commandLine) check() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check the configuration", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := c.config()
			if err != nil {
				return err
			}
			for _, w := range conf.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n", w)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %d modules\n", conf.Path, len(conf.Modules))
			return err
		},
	}
}

func (c *commandLine) list() *cobra.Command {
	return &cobra.Command{
		Use: "modules", Short: "List the registered modules, and with -c the configured instances", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "REGISTERED\tDESCRIPTION")
			for _, m := range c.modules {
				fmt.Fprintf(w, "%s\t%s\n", m.Spec().Name, m.Spec().Description)
			}
			if !cmd.Flags().Changed("config") {
				return w.Flush()
			}
			conf, err := c.config()
			if err != nil {
				return err
			}
			fmt.Fprintln(w, "\t")
			fmt.Fprintln(w, "INSTANCE\tMODULE\tRUNS\tATTRIBUTES\tFILTER")
			for _, m := range conf.Modules {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Registered, runs(&m), orAll(m.Spec.Attributes), m.Spec.LDAPFilter)
			}
			return w.Flush()
		},
	}
}

func runs(m *config.Module) string {
	s := m.Spec
	if m.Process == nil {
		if !s.RunAsynchronously {
			return fmt.Sprintf("synchronously, priority %d", s.Priority)
		}
		return fmt.Sprintf("asynchronously, %d at a time", workers(s))
	}
	if !s.RunAsynchronously {
		return fmt.Sprintf("synchronously, priority %d, in a process", s.Priority)
	}
	return fmt.Sprintf("asynchronously, in %d processes", workers(s))
}

func orAll(attributes []string) string {
	if len(attributes) == 0 {
		return "all"
	}
	return strings.Join(attributes, ",")
}

func (c *commandLine) status() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show what the daemon is doing", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := c.config()
			if err != nil {
				return err
			}
			s, err := admin.NewClient(conf.StateDir).Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), &s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the status as JSON")
	return cmd
}

func printStatus(out io.Writer, s *admin.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "phase\t%s\n", s.Phase)
	fmt.Fprintf(w, "provider\t%s\n", s.Provider)
	if s.LastError != "" {
		fmt.Fprintf(w, "error\t%s\n", s.LastError)
	}
	fmt.Fprintf(w, "base\t%s\n", s.Base)
	fmt.Fprintf(w, "mirror\t%d entries\n", s.Entries)
	if s.Phase == "refresh" {
		fmt.Fprintf(w, "received\t%d entries\n", s.Received)
	}
	if s.Subtrees > 0 {
		fmt.Fprintf(w, "subtrees\t%d have moved in and are yet to be read\n", s.Subtrees)
	}
	if g := s.Guard; g != nil {
		fmt.Fprintf(w, "held\t%d removes since %s: %s\n", g.Removes, g.Since.Local().Format(time.DateTime), g.Reason)
		printExamples(w, g.Examples, g.Released)
	}
	for _, m := range s.Modules {
		if m.HeldRemoves > 0 {
			fmt.Fprintf(w, "held\t%d removes of module %s: its filter no longer has these entries\n", m.HeldRemoves, m.Name)
			printExamples(w, m.HeldExamples, false)
		}
	}
	fmt.Fprintf(w, "cookie\t%s\n", s.Cookie)
	fmt.Fprintf(w, "running\tsince %s, pid %d, %s\n", s.Started.Local().Format(time.DateTime), s.PID, s.Version)
	fmt.Fprintf(w, "shared\t%s\n", s.Shared.Kind)
	for server, reason := range s.Shared.Unavailable {
		fmt.Fprintf(w, "\t%s does not answer: %s\n", server, reason)
	}
	if err := w.Flush(); err != nil || len(s.Modules) == 0 {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprintln(w, "MODULE\tSTATE\tQUEUED\tIN FLIGHT\tFAILING\tCALLS\tFAILURES\tLAST ERROR")
	for _, m := range s.Modules {
		state := m.State
		if m.HeldRemoves > 0 {
			state = fmt.Sprintf("held (%d removes)", m.HeldRemoves)
		}
		if m.WalkTotal > 0 && state == "walking" {
			state = fmt.Sprintf("walking %d%%", min(100, 100*m.WalkDone/m.WalkTotal))
		}
		if !m.NextProbe.IsZero() {
			state += " until " + m.NextProbe.Local().Format(time.TimeOnly)
		}
		if m.Folded {
			state += ", folded"
		}
		if m.Stalled {
			state += ", stalled"
		}
		if m.Stuck > 0 {
			state += " for " + time.Duration(m.StuckFor*float64(time.Second)).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", m.Name, state, m.Queued, m.InFlight, m.Failing, m.Calls, m.Failures, oneLine(m.LastError))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printWorkers(out, s)
}

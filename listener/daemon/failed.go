package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/listenerd/listenerd/listener/internal/admin"
)

func (c *commandLine) failed() *cobra.Command {
	cmd := &cobra.Command{
		Use: "failed", Short: "List, show, retry or drop failed calls", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.failedList(), c.failedShow(), c.failedRetry(), c.failedDrop())
	return cmd
}

func (c *commandLine) failedList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list [MODULE]", Short: "List failed calls", Args: someArgs(0, 1, "a module at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			failed, err := client.Failed(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), failed)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "MODULE\tSEQ\tCALL\tDN\tATTEMPTS\tNEXT\tWAITING\tERROR")
			for _, f := range failed {
				text, _, _ := strings.Cut(f.Error, "\n")
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\t%d\t%s\n", f.Module, f.Seq, f.Call, oneLine(f.DN), f.Attempts, next(&f), f.Waiting, oneLine(text))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

func next(f *admin.Failed) string {
	switch {
	case f.Next.IsZero():
		return "set aside"
	case f.BacksOff:
		return "module backs off"
	}
	return f.Next.Local().Format(time.DateTime)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

func printJSON(out io.Writer, document any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(document)
}

func (c *commandLine) failedShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show MODULE DN|UUID|SEQ", Short: "Show a failed call and what waits for it", Args: someArgs(2, 2, "a module, and a DN, UUID or seq"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			f, err := client.Show(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), f)
			}
			return printFailed(cmd.OutOrStdout(), &f)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

func printFailed(out io.Writer, f *admin.FailedDetail) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "call\t%s, seq %d\n", f.Call, f.Seq)
	fmt.Fprintf(w, "dn\t%s\n", oneLine(f.DN))
	if f.OldDN != "" {
		fmt.Fprintf(w, "old dn\t%s\n", oneLine(f.OldDN))
	}
	fmt.Fprintf(w, "uuid\t%s\n", f.UUID)
	fmt.Fprintf(w, "attempts\t%d, from %s to %s\n", f.Attempts, f.First.Local().Format(time.DateTime), f.Last.Local().Format(time.DateTime))
	fmt.Fprintf(w, "next\t%s\n", next(&f.Failed))
	fmt.Fprintf(w, "error\t%s\n", f.Error)
	if err := w.Flush(); err != nil {
		return err
	}
	if f.Stack != "" {
		fmt.Fprintf(out, "\n%s\n", strings.TrimSpace(f.Stack))
	}
	if len(f.Changed) > 0 {
		fmt.Fprintln(out)
	}
	for _, c := range f.Changed {
		for _, v := range c.Removed {
			fmt.Fprintf(out, "- %s: %s\n", c.Attribute, oneLine(v))
		}
		for _, v := range c.Added {
			fmt.Fprintf(out, "+ %s: %s\n", c.Attribute, oneLine(v))
		}
	}
	for i, q := range f.Queue {
		if i == 0 {
			fmt.Fprintln(out, "\nwaiting:")
		}
		fmt.Fprintf(out, "  %d %s %s\n", q.Seq, q.Call, oneLine(q.DN))
	}
	return nil
}

// targetOf returns the target of a command: a failed call, or all with --all.
func targetOf(args []string, all bool) (string, error) {
	switch {
	case all && len(args) == 2:
		return "", fmt.Errorf("%w: --all or one call, not both", errUsage)
	case !all && (len(args) < 2 || args[1] == ""):
		return "", fmt.Errorf("%w: name a call by DN, UUID or seq, or give --all", errUsage)
	case all:
		return "", nil
	}
	return args[1], nil
}

func (c *commandLine) failedRetry() *cobra.Command {
	var all, latest bool
	cmd := &cobra.Command{
		Use: "retry MODULE [DN|UUID|SEQ]", Short: "Repeat failed calls now", Args: someArgs(1, 2, "a module, and a DN, UUID or seq"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := targetOf(args, all)
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			done, err := client.Retry(cmd.Context(), args[0], target, latest)
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d to be repeated\n", len(done))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "repeat all failed calls of the module")
	cmd.Flags().BoolVar(&latest, "latest", false, "as one call with what waits, as far as it is at one DN")
	return cmd
}

// errNotConfirmed is returned when nobody has said yes.
var errNotConfirmed = errors.New("nothing was dropped")

func (c *commandLine) failedDrop() *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use: "drop MODULE [DN|UUID|SEQ]", Short: "Give failed calls up", Args: someArgs(1, 2, "a module, and a DN, UUID or seq"),
		Long: `Give failed calls up. With a create the entry's later changes go as well, and the module does
not know the entry. A modify becomes part of the entry's next change; if there is none, the new state
counts as known. A remove is forgotten. The log tells what was dropped.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := targetOf(args, all)
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if !yes {
				what := target
				if all {
					what = "all failed calls"
				}
				if err := confirm(cmd, "drop", what+" of "+args[0]); err != nil {
					return err
				}
			}
			done, err := client.Drop(cmd.Context(), args[0], target)
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d dropped\n", len(done))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "drop all failed calls of the module")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm asks on a terminal; elsewhere nobody can answer.
func confirm(cmd *cobra.Command, command, what string) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return fmt.Errorf("%w: without a terminal %s wants --yes", errUsage, command)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Drop %s for good? [y/N] ", what)
	line, _ := bufio.NewReader(in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errNotConfirmed
	}
	return nil
}

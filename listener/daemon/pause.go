package daemon

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/listenerd/listenerd/listener/internal/admin"
)

// client returns a client of the daemon that the configuration is for.
func (c *commandLine) client() (*admin.Client, error) {
	conf, err := c.config()
	if err != nil {
		return nil, err
	}
	return admin.NewClient(conf.StateDir), nil
}

// someArgs refuses less and more arguments than least and most.
func someArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%w: %s wants %s", errUsage, cmd.Name(), what)
		}
		return nil
	}
}

func (c *commandLine) pause() *cobra.Command {
	return &cobra.Command{
		Use: "pause MODULE", Short: "Make no further calls of a module", Args: someArgs(1, 1, "a module"),
		Long: `Make no further calls of a module, until resume. A running call finishes. The module's
queue is kept and goes on growing, up to max_tasks; a restart changes nothing. With
on_full: stall nothing is read from the provider any more when it is full.`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.setPaused(cmd, args[0], true) },
	}
}

func (c *commandLine) resume() *cobra.Command {
	return &cobra.Command{
		Use: "resume MODULE", Short: "Go on with the calls of a module", Args: someArgs(1, 1, "a module"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.setPaused(cmd, args[0], false) },
	}
}

func (c *commandLine) setPaused(cmd *cobra.Command, module string, paused bool) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.Pause(cmd.Context(), module, paused)
}

// Command bench measures listenerd against a real slapd that it fills and starts:
// how long it takes to mirror a directory, compared to what else reads it, in the
// same run on the same machine; whether many modules hear of changes as fast as slapd
// makes them; and how many calls per second the dispatcher makes, in its own process and
// in worker processes. It exits with status 1 if something failed, not
// if something was slow.
//
//	go run ./listener/internal/bench -n 100000 -runs 3 -only 'ldapsearch|mirror'
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == workerRole {
		if err := runWorker(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	n, err := strconv.Atoi(envOr("N", "100000"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: N:", err)
		os.Exit(2)
	}
	var o options
	flag.IntVar(&o.people, "n", n, "how many people the directory has; default from the environment's N")
	flag.IntVar(&o.runs, "runs", 3, "how often each benchmark runs")
	flag.StringVar(&o.dir, "dir", "", "where the servers and the mirror keep their data; default: the system's temporary directory")
	only := flag.String("only", "", "regular expression: the benchmarks to run")
	flag.Parse()
	if o.only, err = regexp.Compile(*only); err != nil || o.people < 1 || o.runs < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	people, runs int
	dir          string
	only         *regexp.Regexp
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func run(ctx context.Context, o options) error {
	if err := readings(ctx, o); err != nil {
		return err
	}
	var chosen []*place
	for _, p := range places {
		if o.only.MatchString(p.name) {
			chosen = append(chosen, p)
		}
	}
	for range o.runs {
		for _, p := range chosen {
			rate, err := p.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			progress("%s: %.0f/s", p.name, rate)
			p.rates = append(p.rates, rate)
		}
	}
	if len(chosen) > 0 {
		reportCalls(os.Stdout, chosen)
	}
	return nil
}

// readings runs the benchmarks that read a directory.
func readings(ctx context.Context, o options) (err error) {
	if !o.only.MatchString(liveName) && !slices.ContainsFunc(benchmarks, func(b benchmark) bool { return o.only.MatchString(b.name) }) {
		return nil
	}
	dir, err := os.MkdirTemp(o.dir, "listenerd-bench")
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	progress("loading %d people into slapd", o.people)
	p, err := newProvider(dir, o.people)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := p.server.Stop(); err == nil {
			err = stopErr
		}
	}()
	progress("%d entries loaded in %.1f s; warming its cache", p.entries, p.loading.Seconds())
	if _, err := ldapsearch(ctx, p); err != nil {
		return err
	}

	var chosen []*series
	for _, b := range benchmarks {
		if !o.only.MatchString(b.name) {
			continue
		}
		if why := b.absent(p); why != "" {
			progress("%s: left out, %s", b.name, why)
			continue
		}
		chosen = append(chosen, &series{benchmark: b})
	}
	// Round by round, so that what else the machine does meets all of them.
	for round := range o.runs {
		for _, s := range chosen {
			if s.once && round > 0 {
				continue
			}
			// Or it would pay for what the one before wrote, and deleted.
			syscall.Sync()
			<-time.After(time.Second)
			r, err := s.run(ctx, p)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			progress("%s: %.2f s", s.name, r.took.Seconds())
			s.results = append(s.results, r)
		}
	}
	if len(chosen) > 0 {
		err = report(os.Stdout, p.entries, chosen)
	}
	if err == nil && o.only.MatchString(liveName) {
		progress("%s", liveName)
		err = live(ctx, os.Stdout, p)
	}
	return err
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

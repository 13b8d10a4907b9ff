// Package fault lets tests end the daemon right before or right after it commits a
// transaction, at points that they choose by name.
//
// Only a program built with the tag faults has these points. In any other one an [Edge]
// takes no memory, and its methods do nothing and leave no code.
//
// A program with points obeys the environment variable LISTENERD_FAULT:
//
//	LISTENERD_FAULT="walk before"    # dies before the first commit of a walk's step
//	LISTENERD_FAULT="walk after 3"   # dies after the third one
//
// It dies of SIGKILL, as by kill -9: no deferred function runs, and what the
// transaction wrote is there as a whole, or not at all.
package fault

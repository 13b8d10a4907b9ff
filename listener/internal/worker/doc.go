// Package worker runs the handlers of a module in processes of their own.
//
// A [Pool] is the side of the daemon: an executor that keeps a number of worker
// processes and gives each one call at a time. [Serve] is the side of a worker process.
// What is between them needs no more than two streams of bytes, so that a worker could as
// well be on another host.
//
// # Protocol
//
// A frame is its length (four octets, most significant first, at least 1), a type (one
// octet), and the fields of the type: unsigned integers as varints, texts with their
// length before them. Neither side takes a frame that is longer than what it expects, and
// memory is taken as the bytes arrive, not as a length announces them.
//
//	daemon                      worker process
//	hello      ------------->                    version, limits, setup
//	           <-------------   ready            version, the handler's steps
//	                            (or refused)     the handler cannot be opened
//	call       ------------->                    number, kind, seq, attempt, entries
//	cancel     ------------->                    number, why
//	           <-------------   result           number, what came of the call
//	           <-------------   ask              number, a question about shared state
//	answer     ------------->                    number, the answer
//	           <-------------   log              an entry of the handler's log
//	names      ------------->                    what entries know of the schema
//	bye        ------------->
//	           <-------------   closed           the handler is closed; the end
//
// There is one call at a time. Whatever does not follow from this, such as a result
// nobody waits for, ends the process: it is killed, its call has failed, and another
// process takes its place.
//
// # The end of a process
//
// A process that ends in the middle of a call fails that call alone. One whose call does
// not return within [Grace] after its time is over is killed, with its process group, and
// so is one that takes more memory than its limit. A new one takes its place at once, or
// when it is the start that fails, after a pause that doubles.
//
// No process outlives the daemon: the kernel kills it when the thread that started it
// ends (on Linux), a thread that does nothing else and ends with the daemon, and a
// worker ends itself when its stream does.
package worker

/** Where a cost lies and what was tried against it, by scenario; for the page. */
export const REMARKS: Readonly<Record<string, string>> = {
  S1: `Three quarters are Node's socket and the state of \`ws\`, as the row of \`ws\` shows. On top come the connection, its user, its session in the registry and
their places in three hash tables, 0.9 KB of live objects. What was let go: the request and its reply, all listeners, the peer's address, the closure of automatic pongs,
a table of extensions for each socket, an index by serial number, numbers with fractions. Without gain: allocator settings (arenas, trim thresholds), a V8 without helper threads. What is left to spare is the
socket's own state, which takes an engine on the bare TCP handle in place of \`ws\`.`,
  S2: `What the process does without any connection (health, loop delay, leases, watches: 2 to 3 ms a second) is spread over 10,000 connections here, 0.25 us for each;
a ping and its pong cost what they cost \`ws\`. Tried: slices of 64, 512 and 4,096 connections (the last is best: pings that go together share wake-ups), loop-delay histograms at 10 and at 100 ms (10 ms costs 1 % of a core), and a column of
due times in place of looking at each connection, which is what there is now.`,
  S5: 'The loop is given back every 256 sends so that nothing else waits; the bare loop gives it back never, and everything else waits for it.',
  S6: `Tried for CPU: Maps that are made anew in place of Maps that churn (-24 to -47 %, kept), one stream for the batches of a turn (kept), lists without arrays (kept), larger and smaller young generations (nothing that holds),
a parser without prototype checks (40 ns of 30 us; the checks stay). Tried for p99: a flush once a millisecond (p50 from 1 to 5 ms; dropped). What is left of it are full collections, and the stand-in services and clients on the other core.`,
  S7: 'The pushes of Socket.IO (`emitWithAck`) begin in its own process, those of this gateway come by gRPC from another one, and its answers go back there. Most of a unary push is grpc-js\'s own call; a stream is what carries load. Tried: batches of one turn on one stream (kept), one template for the report (kept), larger young generations (nothing that holds).',
  S8: `All check the token with HS256; C checks none. Centrifugo gets it in its first frame, and subscribes to a channel with the second. With an Auth Service and etcd in its way a handshake is not measured here.
A handshake of Node's HTTP server and \`ws\` costs what the row of \`ws\` shows before anything of a gateway; servers in Go and C take a fraction of that. Centrifugo is ahead here and behind everywhere else.
Tried: the answer to the upgrade in one write with the welcome (kept), a subclass of the socket in place of listeners (kept), no log object for each request (nothing that holds), one memory sample for many handshakes (nothing that holds). With 50 at once in place of 200 it takes 220 to 260 us: it then waits for its batches half of the time, and pays for waking up.`,
  S9: `A user takes two operations, an admission and a registration, and a transaction holds 100: 50 users are a transaction only where each is full. A window of 2 ms gave 3 users a transaction; one that grows to 64 ms while operations crowd gave 17 to 26, and handshakes that
cost a quarter more; one that grows to 16 ms only while earlier transactions are under way gave 5; one that grows to 16 ms while operations crowd is what there is now, and its handshakes cost what they cost with 2 ms.
Three nodes, etcd, the services and the clients share two cores here: what a node waits for a core counts as a stall of its loop.`,
  S10: `What is held is the difference of the process's resident memory, frames that wait for a collection among it; bare \`ws\`, which holds them until the client reads or goes, shows nearly as much. The outbox of each is bounded by
OUTBOX_BYTES (1 MiB), a frame of a group stands in memory once for all, and those who do not read are closed after WRITE_WAIT.`
}

/** The same of a curve. */
export const GROWTH_REMARKS: Readonly<Record<string, string>> = {
  S1: `Handshakes before the first size leave free pages in the heap, which the first connections use: what the small sizes take is too little by that (a is below zero). The last slope
is the cost of a connection, as in the scenario.`,
  'S3-groups': 'One message is on its way at a time here, so waking up is the larger part, and it is another one in each process: at 10 groups the rounds of one size lie as far apart as the sizes do. From 100 to 10,000 groups it does not grow.',
  S7: 'The rounds of one size lie as far apart as the sizes do, and the most is at the least size: it does not grow.'
}

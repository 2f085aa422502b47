/**
 * The faults that a gateway has to survive, and how each is brought about: the table that test/faults/ runs row by row and
 * docs/reliability.md is written from. What is promised is the title of the row's test.
 */

export interface Fault {
  readonly fault: string
  /** What is done to bring it about. */
  readonly done: string
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  E1: { fault: 'etcd is gone for less than the TTL', done: 'kill -9 of etcd under traffic, started again' },
  E2: { fault: 'etcd is gone for longer than the TTL', done: 'kill -9 of etcd under traffic, started again; devices leave meanwhile' },
  E3: { fault: 'the nodes are cut off from etcd', done: 'a proxy in front of etcd is cut for longer than the TTL' },
  E4: { fault: 'etcd is frozen', done: 'SIGSTOP for longer than the TTL, then SIGCONT' },
  E5: { fault: 'etcd is compacted while the watch is cut', done: 'proxy cut, keys deleted and put, compaction, proxy healed' },
  E6: { fault: 'the watch breaks again while it replays', done: 'the watch is broken twice in a row, events in between' },
  E7: { fault: 'the watch falls into a black hole', done: 'a proxy that takes bytes and passes none on' },
  E8: { fault: 'an operator revokes a lease', done: 'the leases of a node are revoked in etcd' },
  K1: { fault: 'a broker is killed', done: 'kill -9 of Kafka under traffic, started again' },
  K2: { fault: 'a broker is frozen', done: 'SIGSTOP of Kafka under traffic, then SIGCONT' },
  K3: { fault: 'poison records', done: 'one record of a hundred is none: bad JSON, huge, unknown type, null, wrong schema' },
  K4: { fault: 'a node loses its Kafka session, or its name to another', done: 'SIGSTOP of a node past the session timeout; a second node of the same name' },
  K5: { fault: 'a node starts under traffic', done: 'it starts at 1,000 records a second; clients connect as soon as it is ready' },
  K6: { fault: 'a partition is added under traffic', done: 'partitions are created while records flow' },
  K7: { fault: 'the consumer fails for good', done: 'Kafka refuses the node with an error that no repeat mends, then takes it again' },
  R1: { fault: 'Redis is gone, or frozen', done: 'kill -9, start, SIGSTOP, SIGCONT, with 200 upgrades each' },
  A1: { fault: 'the Auth Service is gone', done: 'a proxy in front of it is cut, then healed' },
  A2: { fault: 'the Auth Service is slow', done: 'each answer takes 10 s' },
  M1: { fault: 'the IM Service is gone', done: 'a proxy in front of it is cut under traffic, then healed' },
  M2: { fault: 'the IM Service is slow, or dies between acceptance and answer', done: 'of 100 messages two wait 4 s; its connections are cut once it has kept a message' },
  M3: { fault: 'the IM Service restarts, one replica after the other', done: 'it sends GOAWAY to each connection at the age of 2 s and cuts it a second later' },
  M4: { fault: 'one of two IM replicas falls into a black hole', done: 'a proxy in front of it takes bytes and passes none on' },
  C1: { fault: 'a client is half open', done: 'its process or its way is frozen: nothing comes back, nothing is closed' },
  C2: { fault: 'clients read slowly', done: 'they stop reading and are sent 10 MB' },
  C3: { fault: 'acknowledgements are lost, late, repeated or foreign', done: 'clients that acknowledge by hand' },
  C4: { fault: 'a message is pushed again while it waits', done: 'two pushes of one msg_id at once' },
  C5: { fault: 'devices move, are cut and die in any order', done: 'seeded rounds of connect, move, cut, close and kill -9 of nodes; etcd is read each 10 ms' },
  C6: { fault: 'clients leave before they are registered', done: '10,000 connections that are reset at any moment between request and welcome' },
  N1: { fault: 'a node dies', done: 'kill -9 of each of three nodes in turn, under traffic' },
  N2: { fault: 'nodes are restarted one after the other', done: 'SIGTERM and a new start of each of three nodes, under traffic' },
  N3: { fault: 'SIGTERM comes twice, or during the start', done: 'two signals 100 ms apart; one signal at moments all over a start' },
  N4: { fault: 'the event loop stalls', done: 'SIGSTOP of the node, shorter and longer than the heartbeat time-out, then SIGCONT' },
  N5: { fault: 'memory runs short', done: 'clients stop reading and are sent more than MEMORY_LIMIT has room for' },
  N6: { fault: 'the clock of the machine jumps', done: 'the wall clock of the process goes an hour ahead, two back, one ahead, under traffic' },
  N7: { fault: 'files run short', done: 'the open-files limit of the running node is set a little above what it has, and passed' },
  F1: { fault: 'malformed frames and random JSON', done: '10,000 of each, seeded, from raw sockets' },
  F2: { fault: 'hostile and slow upgrades', done: '19 kinds of request from raw sockets; 1,000 that never end' },
  F3: { fault: 'floods of frames', done: 'pings, pongs, fragments and acks as fast as the socket takes them' },
  T1: { fault: 'everybody comes back at once', done: 'kill -9 of the one node that all clients are on, two others there' },
  T2: { fault: 'all connections are cut again and again', done: 'proxies in front of all nodes are cut each 10 s, for 20 minutes with --long' },
  T3: { fault: 'everything, one after the other', done: 'traffic at half load, each 30 s a fault drawn by seed' }
}

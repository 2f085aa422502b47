/*
 * Many WebSocket clients in one process that costs next to nothing: the load of the benchmarks.
 *
 * Reads commands from stdin, one a line, and answers each with one line of JSON on stdout. Arguments are percent-encoded,
 * so that spaces, quotes and line breaks may stand in them. What a server says beyond WebSocket is told by texts to look
 * for, so that one program can load servers of different protocols and check what all of them deliver.
 *
 *   target HOST PORT...         where to connect (IPv4), in turn
 *   sources ADDRESS...          loopback addresses to connect from, in turn: each has 28,000 ports
 *   request TEXT                the HTTP request; {n} is the number of the connection, {token} its line of the tokens
 *   tokens FILE                 one token a line
 *   hello TEXT                  a frame to send after the upgrade; may be given several times
 *   ready TEXT                  a connection is up when a frame has this in it; without it, at the upgrade
 *   echo TEXT REPLY             a frame that is exactly TEXT is answered with REPLY (pings inside the protocol)
 *   data TEXT                   a frame with this in it is data; the number that follows it must grow by one
 *   stamp TEXT                  the number that follows is the monotonic time of its sending, in microseconds
 *   ack TEXT REPLY UNTIL        data frames are answered: {id} is what stands between TEXT and the character UNTIL
 *   send TEXT                   what `loop` and `rate` send; {n}, {s}: a sequence number of the connection, {t}: monotonic microseconds
 *   reply TEXT                  a frame with this in it answers a message; the number that follows is its {s}
 *   answered FILE               replies are noted there, {s}-{n} a line; without FILE the notes are closed
 *   returning AT_ONCE           connections that are lost come back, so many at a time; 0: they stay away
 *
 *   open COUNT AT_ONCE          until so many are up: {"up","failed","ms"}
 *   close COUNT                 closes the youngest of them
 *   churn COUNT AT_ONCE         so many handshakes, each closed when it is up: {"handshakes","failed","ms"}
 *   loop IN_FLIGHT MS           each connection keeps so many messages unanswered
 *   rate PER_SECOND MS          all connections together, evenly
 *   await FRAMES MS             until so many data frames came since `reset`
 *   deaf COUNT                  the first so many are not read any more; 0: all are read again
 *   reset                       forgets what was counted
 *   stats                       {"data","gaps","repeats","sent","replies","abandoned","pings","pinged","closed","returnMs","bytes","cpuUs",latencies in us}
 *                               repeats: data frames and replies that came twice, or out of order; abandoned: messages without a reply of connections that were lost; pinged: connections that were, since
 *                               `reset`; returnMs: from the first connection that was lost to the last that came back
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 20000
#define MAX_HELLOS 8
#define MAX_SOURCES 64
#define MAX_TARGETS 8
#define MAX_TEXT 8192
/* Messages of a connection that may wait for a reply: the time of sending is kept until then. */
#define IN_FLIGHT 256
#define READ_BYTES 262144
#define EVENTS 1024
#define BUCKETS 4096
/* How long connections may take to come up, all together. */
#define OPEN_US 240000000

typedef struct {
  int fd;
  int number;
  uint8_t state; /* 0 connecting, 1 upgrading, 2 greeting, 3 up */
  uint8_t deaf;
  uint8_t lost; /* and to come back */
  uint8_t pinged;
  uint16_t awaiting; /* replies */
  uint32_t got;     /* bytes of a frame that is not whole */
  uint32_t room;
  uint8_t *rest;
  uint8_t *unsent; /* what the socket did not take */
  uint32_t unsentLength;
  int64_t lastData;
  uint32_t sequence;
  uint32_t sentAt[IN_FLIGHT]; /* by sequence, microseconds; 0: answered, or never sent */
} Connection;

static Connection *connections[MAX_CONNECTIONS];
static int slots, up, pending, failedOpens, nextNumber;
static int epoll;
static struct sockaddr_in targets[MAX_TARGETS], sources[MAX_SOURCES];
static int targetCount, sourceCount;
static char *request, *ready, *echoText, *echoReply, *dataText, *stampText, *ackText, *ackReply, *sendText, *replyText;
static char *hellos[MAX_HELLOS];
static char ackUntil = '"';
static int helloCount;
static char **tokens;
static int tokenCount;
static uint8_t buffer[READ_BYTES + 16];

static struct { uint64_t data, gaps, repeats, sent, replies, abandoned, pings, closed, bytes; } counts;
static uint64_t latencies[BUCKETS], latencyCount, latencyMax;
static int churning, churnLeft, handshakes;
static int loopInFlight;
static int returning, lost;
static uint64_t lostAt, returnedAt;
static FILE *answered;

static uint64_t nowUs(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* Sixteen buckets to each doubling: a bucket is 4.4 % wide at most. */
static int bucketOf(uint64_t us) {
  if (us < 16) return (int)us;
  int exponent = 63 - __builtin_clzll(us);
  int bucket = (exponent - 3) * 16 + (int)((us >> (exponent - 4)) & 15);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t bucketValue(int bucket) {
  if (bucket < 16) return bucket;
  int exponent = bucket / 16 + 3;
  return ((uint64_t)(16 + bucket % 16) << (exponent - 4)) + ((1ULL << (exponent - 4)) >> 1);
}

static void tookUs(uint64_t us) {
  latencies[bucketOf(us)]++;
  latencyCount++;
  if (us > latencyMax) latencyMax = us;
}

static uint64_t percentile(double share) {
  uint64_t seen = 0, want = (uint64_t)(latencyCount * share);
  for (int i = 0; i < BUCKETS; i++) {
    seen += latencies[i];
    if (seen > want) return bucketValue(i);
  }
  return latencyMax;
}

static char *decoded(const char *text) {
  if (text == NULL) return NULL;
  char *out = malloc(strlen(text) + 1), *to = out;
  for (const char *from = text; *from; from++) {
    unsigned value;
    if (*from == '%' && sscanf(from + 1, "%2x", &value) == 1) { *to++ = (char)value; from += 2; }
    else *to++ = *from;
  }
  *to = 0;
  return out;
}

/* Puts the values in their places; returns the length. */
static int fill(char *out, const char *text, const Connection *c, const char *id, int idLength) {
  char *to = out, *end = out + MAX_TEXT - 32;
  for (const char *from = text; *from && to < end; from++) {
    if (*from != '{') { *to++ = *from; continue; }
    if (!strncmp(from, "{n}", 3)) { to += sprintf(to, "%d", c->number); from += 2; }
    else if (!strncmp(from, "{s}", 3)) { to += sprintf(to, "%u", c->sequence); from += 2; }
    else if (!strncmp(from, "{t}", 3)) { to += sprintf(to, "%llu", (unsigned long long)nowUs()); from += 2; }
    else if (!strncmp(from, "{id}", 4) && id) { int n = idLength < end - to ? idLength : (int)(end - to); memcpy(to, id, n); to += n; from += 3; }
    else if (!strncmp(from, "{token}", 7) && tokenCount) { const char *token = tokens[c->number % tokenCount]; int n = strlen(token); if (n > end - to) n = end - to; memcpy(to, token, n); to += n; from += 6; }
    else *to++ = *from;
  }
  *to = 0;
  return to - out;
}

static void interest(Connection *c) {
  struct epoll_event event = { .data.ptr = c, .events = (c->deaf ? 0 : EPOLLIN) | (c->state == 0 || c->unsent ? EPOLLOUT : 0) };
  epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void ended(Connection *c) {
  if (c->fd < 0) return;
  close(c->fd);
  c->fd = -1;
  if (c->state == 3) { up--; if (!churning) counts.closed++; } else { pending--; failedOpens++; }
  counts.abandoned += c->awaiting;
  c->awaiting = 0;
  if (returning) { c->lost = 1; lost++; if (!lostAt) lostAt = nowUs(); }
  free(c->rest);
  free(c->unsent);
  c->rest = c->unsent = NULL;
}

static void put(Connection *c, const uint8_t *bytes, uint32_t length) {
  uint32_t done = 0;
  if (!c->unsent) {
    ssize_t n = send(c->fd, bytes, length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) { ended(c); return; }
    done = n < 0 ? 0 : (uint32_t)n;
  }
  if (done == length) return;
  c->unsent = realloc(c->unsent, c->unsentLength + length - done);
  memcpy(c->unsent + c->unsentLength, bytes + done, length - done);
  c->unsentLength += length - done;
  interest(c);
}

static void putFrame(Connection *c, int opcode, const char *payload, uint32_t length) {
  static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };
  static uint8_t frame[MAX_TEXT + 16];
  uint32_t at = 2;
  if (length > MAX_TEXT) length = MAX_TEXT;
  frame[0] = 0x80 | opcode;
  if (length < 126) frame[1] = 0x80 | length;
  else { frame[1] = 0x80 | 126; frame[2] = length >> 8; frame[3] = length & 255; at = 4; }
  memcpy(frame + at, key, 4);
  at += 4;
  for (uint32_t i = 0; i < length; i++) frame[at + i] = (uint8_t)payload[i] ^ key[i & 3];
  put(c, frame, at + length);
}

static void putText(Connection *c, const char *text, const char *id, int idLength) {
  char out[MAX_TEXT];
  int length = fill(out, text, c, id, idLength);
  putFrame(c, 1, out, length);
}

static void sendNext(Connection *c) {
  c->sequence++;
  c->awaiting++;
  c->sentAt[c->sequence % IN_FLIGHT] = (uint32_t)nowUs() | 1;
  counts.sent++;
  putText(c, sendText, NULL, 0);
}

static int64_t numberAfter(const char *payload, uint32_t length, const char *text) {
  const char *found = memmem(payload, length, text, strlen(text));
  if (!found) return -1;
  int64_t value = 0;
  const char *at = found + strlen(text), *end = payload + length;
  if (at < end && *at == '"') at++;
  if (at >= end || *at < '0' || *at > '9') return -1;
  for (; at < end && *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
  return value;
}

static void isUp(Connection *c) {
  c->state = 3;
  pending--;
  up++;
  handshakes++;
  returnedAt = nowUs();
}

static void onText(Connection *c, const char *payload, uint32_t length) {
  if (echoText && length == strlen(echoText) && !memcmp(payload, echoText, length)) { putText(c, echoReply, NULL, 0); counts.pings++; c->pinged = 1; return; }
  if (c->state == 2 && ready && memmem(payload, length, ready, strlen(ready))) { isUp(c); return; }
  if (replyText) {
    int64_t sequence = numberAfter(payload, length, replyText);
    if (sequence >= 0) {
      uint32_t *sentAt = &c->sentAt[sequence % IN_FLIGHT];
      /* As many replies as messages are no proof: one may be missing and another have come twice. */
      if (!*sentAt) { counts.repeats++; return; }
      counts.replies++;
      if (c->awaiting) c->awaiting--;
      if (answered) fprintf(answered, "%lld-%d\n", (long long)sequence, c->number);
      tookUs((uint32_t)nowUs() - *sentAt);
      *sentAt = 0;
      if (loopInFlight) sendNext(c);
      return;
    }
  }
  if (!dataText) return;
  int64_t number = numberAfter(payload, length, dataText);
  if (number < 0) return;
  counts.data++;
  if (c->lastData >= 0 && number <= c->lastData) counts.repeats++;
  else if (c->lastData >= 0 && number != c->lastData + 1) counts.gaps += number - c->lastData - 1;
  if (number > c->lastData) c->lastData = number;
  if (stampText) { int64_t at = numberAfter(payload, length, stampText); if (at > 0) tookUs(nowUs() - (uint64_t)at); }
  if (ackText) {
    const char *found = memmem(payload, length, ackText, strlen(ackText));
    if (found) {
      const char *id = found + strlen(ackText), *end = memchr(id, ackUntil, payload + length - id);
      if (end) putText(c, ackReply, id, end - id);
    }
  }
}

/* Takes whole frames; returns how many bytes they had. */
static uint32_t onFrames(Connection *c, uint8_t *bytes, uint32_t length) {
  uint32_t at = 0;
  while (length - at >= 2 && c->fd >= 0) {
    uint8_t *head = bytes + at;
    uint64_t size = head[1] & 127;
    uint32_t header = 2;
    if (size == 126) { if (length - at < 4) break; size = head[2] << 8 | head[3]; header = 4; }
    else if (size == 127) { if (length - at < 10) break; size = 0; for (int i = 2; i < 10; i++) size = size << 8 | head[i]; header = 10; }
    if (length - at - header < size) break;
    int opcode = head[0] & 15;
    if (opcode == 9) { counts.pings++; c->pinged = 1; putFrame(c, 10, (char *)head + header, size > 125 ? 125 : size); }
    else if (opcode == 8) { ended(c); return length; }
    else if (opcode < 3) {
      char *payload = (char *)head + header;
      /* Some servers put several messages into a frame, a line each. */
      for (char *from = payload, *end = payload + size; from < end && c->fd >= 0;) {
        char *line = memchr(from, '\n', end - from);
        onText(c, from, (line ? line : end) - from);
        from = line ? line + 1 : end;
      }
    }
    at += header + size;
  }
  return at;
}

static void greet(Connection *c) {
  c->state = 2;
  for (int i = 0; i < helloCount && c->fd >= 0; i++) putText(c, hellos[i], NULL, 0);
  if (!ready && c->fd >= 0) isUp(c);
}

static void onBytes(Connection *c, uint8_t *bytes, uint32_t length) {
  uint32_t at = 0;
  if (c->state == 1) {
    uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return;
    if (memcmp(bytes, "HTTP/1.1 101", 12)) {
      static int told;
      if (told++ < 3) fprintf(stderr, "load: %.*s\n", length > 300 ? 300 : (int)length, bytes);
      ended(c);
      return;
    }
    at = end + 4 - bytes;
    greet(c);
  }
  if (c->fd < 0) return;
  if (c->got) {
    if (c->got + length - at > c->room) { c->room = c->got + length - at; c->rest = realloc(c->rest, c->room); }
    memcpy(c->rest + c->got, bytes + at, length - at);
    c->got += length - at;
    uint32_t taken = onFrames(c, c->rest, c->got);
    if (c->fd < 0) return;
    memmove(c->rest, c->rest + taken, c->got - taken);
    c->got -= taken;
    if (!c->got) { free(c->rest); c->rest = NULL; c->room = 0; }
    return;
  }
  at += onFrames(c, bytes + at, length - at);
  if (c->fd < 0 || at == length) return;
  c->got = c->room = length - at;
  c->rest = malloc(c->room);
  memcpy(c->rest, bytes + at, c->got);
}

static void onEvent(Connection *c, uint32_t events) {
  if (c->fd < 0) return;
  if (c->state == 0 && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) { ended(c); return; }
    c->state = 1;
    char out[MAX_TEXT];
    int length = fill(out, request, c, NULL, 0);
    put(c, (uint8_t *)out, length);
    if (c->fd >= 0) interest(c);
    return;
  }
  if ((events & EPOLLOUT) && c->unsent) {
    ssize_t n = send(c->fd, c->unsent, c->unsentLength, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) { ended(c); return; }
    if (n > 0) {
      memmove(c->unsent, c->unsent + n, c->unsentLength - n);
      c->unsentLength -= n;
      if (!c->unsentLength) { free(c->unsent); c->unsent = NULL; interest(c); }
    }
  }
  /* What waits there is not read even now. */
  if (c->deaf) { if (events & (EPOLLHUP | EPOLLERR)) ended(c); return; }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t n = recv(c->fd, buffer, READ_BYTES, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) { ended(c); return; }
    if (n > 0) { counts.bytes += n; onBytes(c, buffer, n); }
  }
}

static void connectTo(Connection *c, int number) {
  /* Its messages are numbered on, where it comes back. */
  uint32_t sequence = c->sequence;
  memset(c, 0, sizeof *c);
  c->sequence = sequence;
  c->lastData = -1;
  c->number = number;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  int on = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (sourceCount) {
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&sources[nextNumber % sourceCount], sizeof *sources) < 0) die("bind");
  }
  struct sockaddr_in *target = &targets[nextNumber % targetCount];
  nextNumber++;
  pending++;
  struct epoll_event event = { .events = EPOLLOUT, .data.ptr = c };
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
  if (connect(c->fd, (struct sockaddr *)target, sizeof *target) < 0 && errno != EINPROGRESS) ended(c);
}

static void begin(void) {
  int slot = 0;
  while (slot < slots && connections[slot]->fd >= 0) slot++;
  if (slot == MAX_CONNECTIONS) return;
  if (slot == slots) connections[slots++] = calloc(1, sizeof(Connection));
  connectTo(connections[slot], churning ? nextNumber : slot);
}

static void turn(int timeoutMs) {
  static struct epoll_event events[EVENTS];
  int n = epoll_wait(epoll, events, EVENTS, timeoutMs);
  for (int i = 0; i < n; i++) if (events[i].data.ptr) onEvent(events[i].data.ptr, events[i].events);
  for (int i = 0; i < slots && lost && pending < returning; i++) {
    Connection *c = connections[i];
    if (!c->lost) continue;
    lost--;
    connectTo(c, c->number);
  }
}

static void openAll(int count, int atOnce) {
  uint64_t started = nowUs();
  int failedBefore = failedOpens;
  while (up < count && failedOpens - failedBefore < count) {
    while (pending < atOnce && up + pending < count) begin();
    turn(100);
    if (nowUs() - started > OPEN_US) break;
  }
  printf("{\"up\":%d,\"failed\":%d,\"ms\":%.1f}\n", up, failedOpens - failedBefore, (nowUs() - started) / 1000.0);
}

static void churn(int count, int atOnce) {
  uint64_t started = nowUs();
  int failedBefore = failedOpens;
  churning = 1;
  churnLeft = count;
  handshakes = 0;
  while (handshakes + failedOpens - failedBefore < count) {
    while (pending < atOnce && churnLeft > 0) { begin(); churnLeft--; }
    turn(100);
    for (int i = 0; i < slots; i++) {
      if (connections[i]->fd < 0 || connections[i]->state != 3) continue;
      /* As a client that goes away: the server has to clean up by itself. */
      ended(connections[i]);
    }
    if (nowUs() - started > OPEN_US) break;
  }
  churning = 0;
  printf("{\"handshakes\":%d,\"failed\":%d,\"ms\":%.1f}\n", handshakes, failedOpens - failedBefore, (nowUs() - started) / 1000.0);
}

static void closeSome(int count) {
  for (int i = slots - 1; i >= 0 && count > 0; i--) {
    Connection *c = connections[i];
    if (c->fd < 0) continue;
    putFrame(c, 8, "\x03\xe8", 2);
    if (c->fd >= 0) { uint64_t closed = counts.closed; ended(c); counts.closed = closed; }
    count--;
  }
  printf("{\"up\":%d}\n", up);
}

static void told(double ms) {
  printf("{\"sent\":%llu,\"replies\":%llu,\"ms\":%.1f}\n", (unsigned long long)counts.sent, (unsigned long long)counts.replies, ms);
}

static void closedLoop(int inFlight, int ms) {
  uint64_t started = nowUs(), end = started + (uint64_t)ms * 1000;
  loopInFlight = inFlight;
  for (int i = 0; i < slots; i++) if (connections[i]->fd >= 0 && connections[i]->state == 3) for (int k = 0; k < inFlight; k++) sendNext(connections[i]);
  while (nowUs() < end) turn(10);
  loopInFlight = 0;
  uint64_t stopped = nowUs();
  while (counts.replies + counts.abandoned < counts.sent && nowUs() - stopped < 5000000) turn(10);
  told((stopped - started) / 1000.0);
}

static void openLoop(double perSecond, int ms) {
  uint64_t started = nowUs(), end = started + (uint64_t)ms * 1000, begun = 0;
  int at = 0;
  while (nowUs() < end) {
    uint64_t due = (uint64_t)((nowUs() - started) * perSecond / 1e6);
    for (; begun < due; begun++) {
      for (int tries = 0; tries < slots; tries++) {
        Connection *c = connections[at++ % slots];
        if (c->fd >= 0 && c->state == 3 && !c->deaf) { sendNext(c); break; }
      }
    }
    turn(1);
  }
  uint64_t stopped = nowUs();
  while (counts.replies + counts.abandoned < counts.sent && nowUs() - stopped < 5000000) turn(10);
  told((stopped - started) / 1000.0);
}

static void awaitData(uint64_t frames, int ms) {
  uint64_t started = nowUs();
  while (counts.data < frames && nowUs() - started < (uint64_t)ms * 1000) turn(10);
  printf("{\"data\":%llu,\"ms\":%.1f}\n", (unsigned long long)counts.data, (nowUs() - started) / 1000.0);
}

static void stats(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  uint64_t cpu = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  int pinged = 0;
  for (int i = 0; i < slots; i++) if (connections[i]->fd >= 0 && connections[i]->pinged) pinged++;
  const struct { const char *name; uint64_t value; } figures[] = {
    { "up", up }, { "data", counts.data }, { "gaps", counts.gaps }, { "repeats", counts.repeats }, { "sent", counts.sent }, { "replies", counts.replies }, { "abandoned", counts.abandoned },
    { "pings", counts.pings }, { "pinged", pinged }, { "closed", counts.closed }, { "returnMs", lostAt && returnedAt > lostAt ? (returnedAt - lostAt) / 1000 : 0 }, { "bytes", counts.bytes }, { "cpuUs", cpu },
    { "p50Us", percentile(0.5) }, { "p99Us", percentile(0.99) }, { "p999Us", percentile(0.999) }, { "maxUs", latencyMax }
  };
  for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) printf("%c\"%s\":%llu", i ? ',' : '{', figures[i].name, (unsigned long long)figures[i].value);
  printf("}\n");
}

static void reset(void) {
  memset(&counts, 0, sizeof counts);
  memset(latencies, 0, sizeof latencies);
  latencyCount = latencyMax = 0;
  lostAt = returnedAt = 0;
  for (int i = 0; i < slots; i++) connections[i]->awaiting = connections[i]->pinged = 0;
  printf("{}\n");
}

static void deafen(int count) {
  for (int i = 0; i < slots; i++) {
    Connection *c = connections[i];
    int deaf = i < count;
    if (c->fd < 0 || c->deaf == deaf) continue;
    c->deaf = deaf;
    interest(c);
  }
  printf("{}\n");
}

static void readTokens(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) die(path);
  char line[MAX_TEXT];
  tokens = malloc(sizeof(char *) * MAX_CONNECTIONS);
  tokenCount = 0;
  while (tokenCount < MAX_CONNECTIONS && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    tokens[tokenCount++] = strdup(line);
  }
  fclose(file);
}

static int is(const char *word, const char *name) { return !strcmp(word, name); }

static void command(char *line) {
  char *word = strtok(line, " \n"), *a = strtok(NULL, " \n"), *b = strtok(NULL, " \n"), *third = NULL;
  if (!word) return;
  int x = a ? atoi(a) : 0, y = b ? atoi(b) : 0;
  if (is(word, "open")) openAll(x, y);
  else if (is(word, "close")) closeSome(x);
  else if (is(word, "churn")) churn(x, y);
  else if (is(word, "loop")) closedLoop(x, y);
  else if (is(word, "rate")) openLoop(a ? atof(a) : 0, y);
  else if (is(word, "await")) awaitData(a ? strtoull(a, NULL, 10) : 0, y);
  else if (is(word, "deaf")) deafen(x);
  else if (is(word, "stats")) stats();
  else if (is(word, "reset")) reset();
  else {
    if (is(word, "target")) {
      targetCount = 0;
      for (char *port = b; port && targetCount < MAX_TARGETS; port = strtok(NULL, " \n")) {
        targets[targetCount].sin_family = AF_INET;
        targets[targetCount].sin_port = htons(atoi(port));
        inet_pton(AF_INET, a, &targets[targetCount++].sin_addr);
      }
    }
    else if (is(word, "sources")) {
      sourceCount = 0;
      for (char *address = a; address && sourceCount < MAX_SOURCES; address = sourceCount == 1 ? b : strtok(NULL, " \n")) {
        sources[sourceCount].sin_family = AF_INET;
        inet_pton(AF_INET, address, &sources[sourceCount++].sin_addr);
      }
    }
    else if (is(word, "tokens")) readTokens(a);
    else if (is(word, "hello")) { if (helloCount < MAX_HELLOS) hellos[helloCount++] = decoded(a); }
    else if (is(word, "request")) request = decoded(a);
    else if (is(word, "ready")) ready = decoded(a);
    else if (is(word, "echo")) { echoText = decoded(a); echoReply = decoded(b); }
    else if (is(word, "data")) dataText = decoded(a);
    else if (is(word, "stamp")) stampText = decoded(a);
    else if (is(word, "ack")) { ackText = decoded(a); ackReply = decoded(b); third = decoded(strtok(NULL, " \n")); if (third) ackUntil = *third; }
    else if (is(word, "send")) sendText = decoded(a);
    else if (is(word, "reply")) replyText = decoded(a);
    else if (is(word, "returning")) returning = x;
    else if (is(word, "answered")) {
      if (answered) fclose(answered);
      answered = a ? fopen(a, "w") : NULL;
      if (a && !answered) die(a);
    }
    else { fprintf(stderr, "load: no command %s\n", word); exit(2); }
    printf("{}\n");
  }
  fflush(stdout);
}

int main(void) {
  epoll = epoll_create1(0);
  if (epoll < 0) die("epoll");
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  /* Between commands the clients live on: pings are answered, data is counted. */
  fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
  static char input[65536];
  uint32_t length = 0;
  for (;;) {
    ssize_t n = read(0, input + length, sizeof input - 1 - length);
    if (n == 0) return 0;
    if (n > 0) {
      length += n;
      input[length] = 0;
      char *end;
      while ((end = memchr(input, '\n', length))) {
        uint32_t used = end - input + 1;
        char line[65536];
        memcpy(line, input, used);
        line[used] = 0;
        memmove(input, input + used, length - used);
        length -= used;
        command(line);
      }
    } else {
      turn(1000);
    }
  }
}

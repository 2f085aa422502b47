/* The floor: a WebSocket server in C that does the same system calls and nothing else. No token is checked, no frame is read. Commands as control.ts has them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

#define MAX_FILES 20000
#define EVENTS 1024
#define PING_SECONDS 30
#define CONTENT_BYTES 200

static uint8_t isUp[MAX_FILES];
static int highest, epoll;
static uint64_t sent;

static uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* FIPS 180-4, for messages shorter than two blocks. */
static void sha1(const uint8_t *text, size_t length, uint8_t out[20]) {
  uint32_t h[5] = { 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0 };
  uint8_t padded[128] = { 0 };
  memcpy(padded, text, length);
  padded[length] = 0x80;
  size_t size = length + 9 > 64 ? 128 : 64;
  for (int i = 0; i < 8; i++) padded[size - 1 - i] = (uint8_t)((uint64_t)length * 8 >> (8 * i));
  for (size_t block = 0; block < size; block += 64) {
    uint32_t w[80];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)padded[block + 4 * i] << 24 | padded[block + 4 * i + 1] << 16 | padded[block + 4 * i + 2] << 8 | padded[block + 4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
      uint32_t f, k;
      if (i < 20) { f = (b & c) | (~b & d); k = 0x5A827999; }
      else if (i < 40) { f = b ^ c ^ d; k = 0x6ED9EBA1; }
      else if (i < 60) { f = (b & c) | (b & d) | (c & d); k = 0x8F1BBCDC; }
      else { f = b ^ c ^ d; k = 0xCA62C1D6; }
      uint32_t t = rotated(a, 5) + f + e + k + w[i];
      e = d; d = c; c = rotated(b, 30); b = a; a = t;
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
  }
  for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static void base64(const uint8_t *bytes, int length, char *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int i = 0; i < length; i += 3) {
    uint32_t three = bytes[i] << 16 | (i + 1 < length ? bytes[i + 1] << 8 : 0) | (i + 2 < length ? bytes[i + 2] : 0);
    for (int j = 0; j < 4; j++) *out++ = i + j > length ? '=' : digits[three >> (18 - 6 * j) & 63];
  }
  *out = 0;
}

static void upgrade(int fd, char *request) {
  char *key = strcasestr(request, "sec-websocket-key: ");
  if (!key) { close(fd); return; }
  key += 19;
  char text[128], accept[32], answer[256];
  uint8_t hash[20];
  int length = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  sha1((uint8_t *)text, length, hash);
  base64(hash, 20, accept);
  length = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
  isUp[fd] = 1;
  if (send(fd, answer, length, MSG_NOSIGNAL) < 0) perror("send");
}

static void all(const uint8_t *frame, int length) {
  for (int fd = 0; fd <= highest; fd++) if (isUp[fd]) send(fd, frame, length, MSG_NOSIGNAL);
}

static void broadcast(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  char content[CONTENT_BYTES + 1] = { 0 };
  memset(content, 'x', CONTENT_BYTES);
  uint8_t frame[1024];
  sent++;
  int length = snprintf((char *)frame + 4, sizeof frame - 4,
    "{\"type\":\"message\",\"msg_id\":\"m%llu\",\"sender\":\"u0\",\"recipient\":\"group\",\"content\":\"%s\",\"message_type\":\"text\",\"timestamp\":%llu,\"sequence_number\":%llu,\"ack_required\":false}",
    (unsigned long long)sent, content, (unsigned long long)t.tv_sec * 1000000 + t.tv_nsec / 1000, (unsigned long long)sent);
  frame[0] = 0x81;
  frame[1] = 126;
  frame[2] = length >> 8;
  frame[3] = length & 255;
  all(frame, length + 4);
}

static void onCommand(void) {
  char line[256];
  if (!fgets(line, sizeof line, stdin)) exit(0);
  int count;
  if (sscanf(line, "broadcast %d", &count) == 1) for (int i = 0; i < count; i++) broadcast();
  printf("null\n");
  fflush(stdout);
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  if (bind(server, (struct sockaddr *)&address, size) || listen(server, 4096) || getsockname(server, (struct sockaddr *)&address, &size)) { perror("listen"); return 1; }
  setvbuf(stdin, NULL, _IONBF, 0);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);
  epoll = epoll_create1(0);
  struct epoll_event event = { .events = EPOLLIN, .data.fd = 0 };
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
  event.data.fd = server;
  epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event);
  time_t pinged = time(NULL);
  for (;;) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, 1000);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == 0) { onCommand(); continue; }
      if (fd == server) {
        int client;
        while ((client = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          int on = 1;
          setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          if (client > highest) highest = client;
          event.data.fd = client;
          epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
        }
        continue;
      }
      char bytes[8192];
      ssize_t got = recv(fd, bytes, sizeof bytes - 1, 0);
      if (got <= 0) { if (got == 0 || errno != EAGAIN) { isUp[fd] = 0; close(fd); } continue; }
      bytes[got] = 0;
      if (!isUp[fd]) upgrade(fd, bytes);
    }
    if (time(NULL) - pinged >= PING_SECONDS) {
      pinged = time(NULL);
      all((const uint8_t *)"\x89\x00", 2);
    }
  }
}

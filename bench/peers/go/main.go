// A server on github.com/coder/websocket as its users write it: the token is checked before the upgrade, what clients send
// is read and dropped. Commands as control.ts has them.
package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

const pingInterval = 30 * time.Second

var (
	secret  = []byte(os.Getenv("BENCH_SECRET"))
	mutex   sync.Mutex
	clients = map[*websocket.Conn]bool{}
	sent    int
	content = strings.Repeat("x", 200)
)

// userOf checks an HS256 token and returns its subject.
func userOf(authorization string) (string, bool) {
	token := strings.TrimPrefix(authorization, "Bearer ")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if !hmac.Equal(signature, mac.Sum(nil)) {
		return "", false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", false
	}
	var claims struct {
		Sub string `json:"sub"`
		Exp int64  `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Exp < time.Now().Unix() {
		return "", false
	}
	return claims.Sub, true
}

func serve(w http.ResponseWriter, r *http.Request) {
	if _, ok := userOf(r.Header.Get("Authorization")); !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	client, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	mutex.Lock()
	clients[client] = true
	mutex.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ticker := time.NewTicker(pingInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if client.Ping(ctx) != nil {
					return
				}
			}
		}
	}()
	for {
		if _, _, err := client.Read(ctx); err != nil {
			break
		}
	}
	cancel()
	mutex.Lock()
	delete(clients, client)
	mutex.Unlock()
	client.CloseNow()
}

func monotonicMicroseconds() int64 {
	var now syscall.Timespec
	const clockMonotonic = 1
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptrOf(&now), 0)
	return now.Sec*1_000_000 + now.Nsec/1_000
}

func broadcast() {
	sent++
	message, _ := json.Marshal(map[string]any{
		"type": "message", "msg_id": fmt.Sprintf("m%d", sent), "sender": "u0", "recipient": "group", "content": content, "message_type": "text",
		"timestamp": monotonicMicroseconds(), "sequence_number": sent, "ack_required": false,
	})
	mutex.Lock()
	defer mutex.Unlock()
	for client := range clients {
		client.Write(context.Background(), websocket.MessageText, message)
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(serve))
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		if words[0] == "gc" {
			debug.FreeOSMemory()
		}
		if words[0] == "broadcast" {
			count, _ := strconv.Atoi(words[1])
			for i := 0; i < count; i++ {
				broadcast()
			}
		}
		fmt.Println("null")
	}
}

// Connects in the ways of Go's library, which makes its system calls itself, and says what it saw, in the words of connect.c.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

var targets = map[string]string{}
var only = map[string]bool{}

func elapsed(begin time.Time) string {
	taken := time.Since(begin)
	switch {
	case taken < 150*time.Millisecond:
		return "instant"
	case taken < 400*time.Millisecond:
		return "short"
	case taken < 2*time.Second:
		return "long"
	default:
		return "longer"
	}
}

func text(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return "timeout"
	}
	return err.Error()
}

func place(address net.Addr) string {
	host, port, _ := net.SplitHostPort(address.String())
	shown := "PORT"
	for name, target := range targets {
		ownHost, targetPort, _ := net.SplitHostPort(target)
		if targetPort == port {
			shown = port
		}
		if strings.HasPrefix(name, "own") && ownHost == host {
			host = "own"
		}
	}
	return host + "/" + shown
}

func dial(name string, timeout time.Duration) {
	dialer := net.Dialer{Timeout: timeout}
	begin := time.Now()
	connection, err := dialer.Dial("tcp", targets[name])
	if err != nil {
		fmt.Printf("dial error=%s elapsed=%s\n", text(err), elapsed(begin))
		return
	}
	fmt.Printf("dial error=0 elapsed=%s\n", elapsed(begin))
	fmt.Printf("names peer=%s own=%s\n", place(connection.RemoteAddr()), place(connection.LocalAddr()))
	connection.Write([]byte("ping"))
	connection.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(connection)
	fmt.Printf("read got=%s error=%v\n", got, err)
	connection.Close()
}

func atOnce(name string) {
	var group sync.WaitGroup
	var lock sync.Mutex
	results := map[string]int{}
	for range [50]int{} {
		group.Add(1)
		go func() {
			defer group.Done()
			result := "ping"
			connection, err := net.Dial("tcp", targets[name])
			if err != nil {
				result = text(err)
			} else {
				connection.Write([]byte("ping"))
				bytes := make([]byte, 4)
				if _, err = io.ReadFull(connection, bytes); err != nil {
					result = text(err)
				}
				connection.Close()
			}
			lock.Lock()
			results[result]++
			lock.Unlock()
		}()
	}
	group.Wait()
	words := []string{}
	for result, count := range results {
		words = append(words, fmt.Sprintf("%s:%d", result, count))
	}
	sort.Strings(words)
	fmt.Printf("goroutines results=%s\n", strings.Join(words, ","))
}

func main() {
	for _, word := range os.Args[1:] {
		if strings.HasPrefix(word, "only:") {
			only[word[5:]] = true
		} else if name, address, found := strings.Cut(word, "="); found {
			targets[name] = address
		}
	}
	limit := 10 * time.Second
	cases := []struct {
		name string
		run  func()
	}{
		{"dial", func() { dial("echo4", limit) }},
		{"dial, IPv6", func() { dial("echo6", limit) }},
		{"dial, refused", func() { dial("refused4", limit) }},
		{"dial, unreachable", func() { dial("unreachable4", limit) }},
		{"dial, silent, with a timeout", func() { dial("silent4", 200*time.Millisecond) }},
		{"dial, silent", func() { dial("silent4", limit) }},
		{"fifty goroutines", func() { atOnce("echo4") }},
		{"fifty goroutines, refused", func() { atOnce("refused4") }},
	}
	for _, one := range cases {
		if len(only) == 0 || only[one.name] {
			fmt.Println("case", one.name)
			one.run()
		}
	}
}

// Serves a directory at an address over HTTP, and says who asks: serve ADDRESS DIRECTORY
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	files := http.FileServer(http.Dir(os.Args[2]))
	panic(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		fmt.Println("from", request.RemoteAddr)
		files.ServeHTTP(writer, request)
	})))
}

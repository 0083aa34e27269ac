// A plugin in Go: counts streams in a goroutine, and recovers from a fault. Go's libraries can only be mapped by the system's loader.
package main

/*
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#include <stddef.h>
#include <stdint.h>

uint32_t proxy_log(uint32_t level, const uint8_t *message, size_t size);
*/
import "C"

import "fmt"

var streams int

func main() {}

func log(text string) {
	bytes := []byte(text)
	C.proxy_log(2, (*C.uint8_t)(&bytes[0]), C.size_t(len(bytes)))
}

//export proxy_abi_version_0_2_1
func proxy_abi_version_0_2_1() {}

//export proxy_on_request_headers
func proxy_on_request_headers(context C.uint32_t, count C.size_t, end C.uint32_t) C.uint32_t {
	counted := make(chan int)
	go func() {
		streams++
		counted <- streams
	}()
	log(fmt.Sprintf("stream %d", <-counted))
	defer func() { log(fmt.Sprintf("recovered from: %v", recover())) }()
	var nothing *int
	*nothing = 1
	return 0
}

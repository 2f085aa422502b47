package main

import (
	"syscall"
	"unsafe"
)

func uintptrOf(t *syscall.Timespec) uintptr { return uintptr(unsafe.Pointer(t)) }

//go:generate go tool mdatagen metadata.yaml

// Package journaldreceiver reads systemd's journal with libsystemd, file by file: a file has one writer and one order, so that
// a position in it is exact, whatever clocks, rotation or other machines' files do.
package journaldreceiver

//! walhook's queue on this disk.

"""`make bench`: how fast this engine is on this machine, as a table, a picture and JSON."""

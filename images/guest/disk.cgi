#!/bin/sh
# /cgi-bin/disk?vdb: write to a disk and read from it
printf 'Content-Type: text/plain\r\n\r\n'
disk-test "$QUERY_STRING" 2>&1

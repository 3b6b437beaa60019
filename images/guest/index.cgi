#!/bin/sh
# Every answer counts, so a test sees whether a guest was stopped between two of them.
echo >> /run/requests
printf 'Content-Type: text/plain\r\n\r\n'
printf 'hostname %s\nuptime %s\nrequests %s\n' "$(hostname)" "$(cut -d ' ' -f 1 /proc/uptime)" "$(wc -l < /run/requests)"

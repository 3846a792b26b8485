#!/bin/sh
echo "Hello from $(cat /etc/arch)!"

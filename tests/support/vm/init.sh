#!/bin/busybox sh
# The guest's first process: mounts, modules, and then whatever the host asks for through the port.
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd

while read -r module; do
    insmod "/modules/$module"
done </modules/order
hostname guest
/usr/bin/ip link set lo up

# The kernel finds the port's device in its own time.
until port=$(ls /dev/vport*p* 2>/dev/null); do usleep 50000; done
# Opened once, both ways: the kernel lets nobody in a second time.
exec 3<>"$port"
exec <&3 >&3 3>&-

# A shell of busybox takes its own applets before what is on the PATH.
iproute='alias ip=/usr/bin/ip tc=/usr/bin/tc'

echo ready
# The host sends a word, a script, and the word again; it gets what the script prints, the word and the exit code.
while IFS= read -r word; do
    {
        echo "$iproute"
        while IFS= read -r line && [ "$line" != "$word" ]; do
            printf '%s\n' "$line"
        done
    } >/tmp/script
    sh /tmp/script </dev/null 2>&1
    printf '\n%s %d\n' "$word" $?
done
poweroff -f

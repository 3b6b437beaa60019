#!/bin/sh
# Prints `kvm` where that works, else `qemu`. A device /dev/kvm proves nothing: there are machines whose KVM runs its own
# kernels alone, and interprets all others a thousand times slower. So a guest of one sector is started: it counts to a
# hundred million in protected mode, which takes a processor 0.1 s, and ends QEMU with the code 33.
set -eu
guest=$(mktemp)
trap 'rm -f "$guest"' EXIT
{
    # cli; ds = 0; lgdt [0x7c39]; cr0 |= 1; jmp 8:0x7c17
    printf '\372\061\300\216\330\017\001\026\071\174\017\040\300\014\001\017\042\300\352\027\174\010\000'
    # 0x7c17: ecx = 100000000; 1: dec ecx; jnz 1b; out 0xf4, 0x10; 2: hlt; jmp 2b
    printf '\271\000\341\365\005\111\165\375\146\272\364\000\260\020\356\364\353\375'
    # 0x7c29: two descriptors, code and data, both flat
    printf '\377\377\000\000\000\232\317\000\377\377\000\000\000\222\317\000'
    # 0x7c39: size and place of their table; its first, empty one is never read, so the table begins 8 bytes before
    printf '\027\000\041\174\000\000'
} > "$guest"
truncate -s 510 "$guest"
printf '\125\252' >> "$guest"
code=0
# Three seconds of the processor are enough, however long they take on a busy machine: a KVM that interprets spends all
# of the twenty in the kernel, and libvirt waits for the answer.
[ -c /dev/kvm ] && timeout 20 prlimit --cpu=3 qemu-system-x86_64 -machine pc,accel=kvm -m 16 -display none -monitor none -serial none \
    -nodefaults -no-reboot -drive "file=$guest,format=raw,if=ide,snapshot=on" \
    -device isa-debug-exit,iobase=0xf4,iosize=4 > /dev/null 2>&1 || code=$?
if [ "$code" = 33 ]; then echo kvm; else echo qemu; fi

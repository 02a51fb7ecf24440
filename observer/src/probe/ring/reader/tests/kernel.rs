//! A ring of the kernel's, and the smallest programs that write into it, run on demand.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::maps::MapData;
use aya_obj::generated::{BPF_RB_NO_WAKEUP, bpf_insn, bpf_map_type, bpf_prog_type};

use crate::probe::system;

/// A ring.
pub(super) struct KernelRing {
    map: MapData,
}

/// A program that writes into a ring, or begins to.
pub(super) struct Writer {
    program: OwnedFd,
}

impl KernelRing {
    pub(super) fn new(size: u32) -> Self {
        let kind = bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
        let map = aya_obj::Map::new_from_params(kind, 0, 0, size, 0);
        Self { map: MapData::create(map, "test_ring", None).unwrap() }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    /// Writes records of so many bytes, a multiple of 8: the number that it is run with, over and over.
    pub(super) fn writer(&self, bytes: i32) -> Writer {
        let mut program = vec![instruction(LOAD, 6, 1, 0, 0)];
        program.extend((1..=bytes / 8).map(|word| instruction(STORE, 10, 6, -8 * word as i16, 0)));
        program.extend(self.map_into(1));
        program.extend([
            instruction(MOVE, 2, 10, 0, 0),
            instruction(ADD_NUMBER, 2, 0, 0, -bytes),
            instruction(MOVE_NUMBER, 3, 0, 0, bytes),
            instruction(MOVE_NUMBER, 4, 0, 0, BPF_RB_NO_WAKEUP as i32),
            instruction(CALL, 0, 0, 0, RINGBUF_OUTPUT),
            instruction(EXIT, 0, 0, 0, 0),
        ]);
        Writer::load(&program)
    }

    /// Reserves so many bytes and gives them up.
    pub(super) fn giving_up(&self, bytes: i32) -> Writer {
        let mut program = self.map_into(1).to_vec();
        program.extend([
            instruction(MOVE_NUMBER, 2, 0, 0, bytes),
            instruction(MOVE_NUMBER, 3, 0, 0, 0),
            instruction(CALL, 0, 0, 0, RINGBUF_RESERVE),
            instruction(JUMP_IF, 0, 0, 3, 0),
            instruction(MOVE, 1, 0, 0, 0),
            instruction(MOVE_NUMBER, 2, 0, 0, BPF_RB_NO_WAKEUP as i32),
            instruction(CALL, 0, 0, 0, RINGBUF_DISCARD),
            instruction(MOVE_NUMBER, 0, 0, 0, 0),
            instruction(EXIT, 0, 0, 0, 0),
        ]);
        Writer::load(&program)
    }

    fn map_into(&self, register: u8) -> [bpf_insn; 2] {
        let map = self.fd().as_raw_fd();
        [instruction(LOAD_MAP, register, 1, 0, map), instruction(0, 0, 0, 0, 0)]
    }
}

impl Writer {
    fn load(program: &[bpf_insn]) -> Self {
        let kind = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT;
        Self { program: system::load_program(kind, program).unwrap() }
    }

    /// Runs it once; false if there was no room.
    pub(super) fn run(&self, number: u64) -> bool {
        system::run_program(self.program.as_fd(), &[number]).unwrap() == 0
    }
}

// Instructions and helpers by the kernel's numbers (include/uapi/linux/bpf.h).
const LOAD: u8 = 0x79;
const STORE: u8 = 0x7b;
const LOAD_MAP: u8 = 0x18;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const ADD_NUMBER: u8 = 0x07;
const JUMP_IF: u8 = 0x15;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const RINGBUF_OUTPUT: i32 = 130;
const RINGBUF_RESERVE: i32 = 131;
const RINGBUF_DISCARD: i32 = 133;

fn instruction(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> bpf_insn {
    bpf_insn { code, _bitfield_align_1: [], _bitfield_1: bpf_insn::new_bitfield_1(dst, src), off, imm }
}

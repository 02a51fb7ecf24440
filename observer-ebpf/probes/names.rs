//! Names of folders and cgroups, collected from the innermost one to the root.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::{NAME_MAX, NAMES_MAX};

use crate::kernel::{
    DENTRY_NAME, DENTRY_PARENT, FS_DIRECTORY, FS_DIRECTORY_MOUNT, FS_ROOT, FS_ROOT_MOUNT, KERNFS_NAME,
    KERNFS_PARENT, MOUNT_PARENT, MOUNT_POINT, MOUNT_ROOT, TASK_FS, VFSMOUNT_ROOT,
};

/// Steps upwards, to a folder or through a mount: 16 of them are deeper than any that people make.
const MAX_STEPS: usize = 24;

/// How many bytes of names there are. Read from memory, it is any number to the verifier, which then looks at each step
/// once and not once for each length that there could be.
///
/// # Safety
/// `length` is valid for reads.
#[inline(always)]
unsafe fn so_far(length: *const u32) -> usize {
    // SAFETY: as promised to this function.
    unsafe { length.read_volatile() as usize & (2 * NAMES_MAX - 1) }
}

/// Adds a name behind those that are there; false where there is no room for any name.
///
/// # Safety
/// `into` has room for [`NAMES_MAX`] bytes, `length` is how many are taken; `name` is read by a helper that checks it.
#[inline(always)]
unsafe fn append(into: *mut u8, length: *mut u32, name: *const Kernel) -> bool {
    // SAFETY: as promised to this function; at least NAME_MAX bytes are left.
    unsafe {
        let taken = so_far(length);
        if taken > NAMES_MAX - NAME_MAX {
            return false;
        }
        let read = bpf_probe_read_kernel_str(into.add(taken).cast(), NAME_MAX as u32, name.cast());
        if read > 0 {
            length.write_volatile((taken + read as usize) as u32);
        }
    }
    true
}

/// Writes the names of a task's working directory, up to its own root, and how many bytes they take; tells whether that
/// is all.
///
/// # Safety
/// `into` has room for [`NAMES_MAX`] bytes; `length` is valid for writes; `task` is typed.
#[inline(always)]
pub(crate) unsafe fn directory(into: *mut u8, length: *mut u32, task: *const Kernel) -> bool {
    // SAFETY: as promised to this function; each hop stays typed.
    unsafe {
        length.write_volatile(0);
        let fs = TASK_FS.read(task);
        let (root, root_mount) = (FS_ROOT.read(fs), FS_ROOT_MOUNT.read(fs));
        let (mut folder, mount) = (FS_DIRECTORY.read(fs), FS_DIRECTORY_MOUNT.read(fs));
        // Mostly it lies in the mount that is the root, and a plain load is cheaper than a helper.
        let top = if mount == root_mount { root } else { VFSMOUNT_ROOT.read(mount) };
        for _ in 0..MAX_STEPS {
            if folder == top {
                return mount == root_mount || above_mount(into, length, mount, [root, root_mount]);
            }
            if folder.is_null() || !append(into, length, DENTRY_NAME.read(folder)) {
                return false;
            }
            folder = DENTRY_PARENT.read(folder);
        }
        false
    }
}

/// The same from the top of a mount on.
///
/// # Safety
/// As for [`directory`].
#[inline(always)]
unsafe fn above_mount(
    into: *mut u8,
    length: *mut u32,
    mount: *const Kernel,
    root: [*const Kernel; 2],
) -> bool {
    // SAFETY: as promised to this function; `probe` asks a helper that checks each address.
    unsafe {
        let nothing = core::ptr::null();
        let mut mount = mount;
        let mut folder = VFSMOUNT_ROOT.probe(mount, nothing);
        for _ in 0..MAX_STEPS {
            if folder.is_null() || [folder, mount] == root {
                return !folder.is_null();
            }
            if folder == VFSMOUNT_ROOT.probe(mount, nothing) {
                // `mount` is a `vfsmount` inside a `mount`.
                let inside = MOUNT_ROOT.offset_of() - VFSMOUNT_ROOT.offset_of();
                let whole: *const Kernel = mount.cast::<u8>().wrapping_sub(inside).cast();
                let parent = MOUNT_PARENT.probe(whole, nothing);
                if parent == whole {
                    // The top of all mounts: the process's own root is not above its directory.
                    return true;
                }
                folder = MOUNT_POINT.probe(whole, nothing);
                mount = parent.cast::<u8>().wrapping_add(inside).cast();
            } else {
                if !append(into, length, DENTRY_NAME.probe(folder, nothing)) {
                    return false;
                }
                folder = DENTRY_PARENT.probe(folder, nothing);
            }
        }
        false
    }
}

/// Writes the names of a cgroup, up to the root of its hierarchy, which has none, and how many bytes they take.
///
/// # Safety
/// `into` has room for [`NAMES_MAX`] bytes; `length` is valid for writes.
#[inline(always)]
pub(crate) unsafe fn cgroup(into: *mut u8, length: *mut u32, node: *const Kernel) {
    let nothing = core::ptr::null();
    let mut node = node;
    // SAFETY: as promised to this function.
    unsafe {
        length.write_volatile(0);
        for _ in 0..MAX_STEPS {
            let parent = KERNFS_PARENT.probe(node, nothing);
            if parent.is_null() || !append(into, length, KERNFS_NAME.probe(node, nothing)) {
                return;
            }
            node = parent;
        }
    }
}

/// How many bytes of names a record has, for the sum of what follows it: [`NAMES_MAX`] at most.
///
/// # Safety
/// `length` is valid for reads.
#[inline(always)]
pub(crate) unsafe fn length(length: *const u32) -> u64 {
    // SAFETY: as promised to this function.
    unsafe { so_far(length) as u64 }
}

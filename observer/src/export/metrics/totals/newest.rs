//! A figure of the newest window alone: as soon as there is a newer one that does not tell it, it is as if there were none.

/// Numbers windows, from 1 on.
pub(crate) type Generation = u64;

/// A figure and the window that it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest<T> {
    generation: Generation,
    figure: T,
}

impl<T: Copy + Default> Newest<T> {
    /// The figure of that window, to be changed: begun anew where it is of an older one.
    pub(crate) fn of(&mut self, generation: Generation) -> &mut T {
        if self.generation != generation {
            *self = Self { generation, figure: T::default() };
        }
        &mut self.figure
    }

    /// The figure of that window.
    pub(crate) fn at(&self, generation: Generation) -> T {
        if self.generation == generation { self.figure } else { T::default() }
    }
}

//! A mergeable exponential histogram of durations, with the buckets of OpenTelemetry's and Prometheus' at scale 5, in seconds.

#[cfg(test)]
mod tests;

/// The buckets' base is `2^(2^-SCALE)`, in seconds: so what exporters tell in their unit is exact, though values are nanoseconds.
const SCALE: u32 = 5;
/// Buckets for each doubling.
const PER_DOUBLING: i32 = 1 << SCALE;

/// The bucket that 1 ns is in: `floor(32 * log2(1e-9))`, as 1 s is between the buckets -1 and 0.
const FIRST: i32 = -957;

/// The lower bounds of the buckets within one doubling of nanoseconds, as 64 bits of mantissa:
/// `floor(10^9 * 2^((i - 28)/32) * 2^34)`. All but that of a second's powers of 2, at 28, are irrational, so
/// `mantissa > BOUNDS[i]` compares exactly.
const BOUNDS: [u64; PER_DOUBLING as usize] = [
    0x81ff_a7a9_549c_a6e3,
    0x84d8_626d_3118_d396,
    0x87c1_1235_836d_16a3,
    0x8aba_1075_8e1e_a3cf,
    0x8dc3_b896_0164_a7d9,
    0x90de_67ff_f600_044c,
    0x940a_7e28_259f_b382,
    0x9748_5c9a_622a_db60,
    0x9a98_6705_4d51_2391,
    0x9dfb_0346_51c9_9c68,
    0xa170_9975_dfb0_6757,
    0xa4f9_93f3_ed7b_61ca,
    0xa896_5f74_bf06_5071,
    0xac47_6b0d_f43f_745f,
    0xb00d_2843_e106_0dc2,
    0xb3e8_0b17_2fd5_1af7,
    0xb7d8_8a12_d0dd_9ea0,
    0xbbdf_1e5a_373c_e5c6,
    0xbffc_43b7_e604_a922,
    0xc430_78ac_4ed4_7ae7,
    0xc87c_3e7d_03cd_bec3,
    0xcce0_1944_3eb5_6ce4,
    0xd15c_9000_bf21_1c1f,
    0xd5f2_2ca6_0197_43e0,
    0xdaa1_7c2c_d195_55db,
    0xdf6b_0ea4_3879_3a89,
    0xe44f_7742_cb56_e3dd,
    0xe94f_4c78_59ce_1066,
    0xee6b_2800_0000_0000,
    0xf3a3_a6f2_9dd0_c333,
    0xf8f9_69d9_b5ab_f948,
    0xfe6d_14c2_b511_4024,
];

/// A distribution of durations in nanoseconds. Count, sum, smallest and largest are exact; a quantile
/// is within half a bucket (1.1 %).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    zero_count: u64,
    /// The index of `buckets[0]`; without meaning while there are none.
    offset: i32,
    /// Over the used range only. 32 bits are enough for an hour of a million values a second.
    buckets: Vec<u32>,
}

impl Histogram {
    /// One as it was told: count, sum, smallest, largest, how many were 0; and its buckets from that index on. Nothing of one
    /// with buckets that no value is in, or figures that do not fit together.
    pub(crate) fn told(figures: [u64; 5], offset: i32, buckets: Vec<u32>) -> Self {
        let all = FIRST..=FIRST + 1 + 64 * PER_DOUBLING;
        let length = i32::try_from(buckets.len()).unwrap_or(i32::MAX);
        if !all.contains(&offset) || !all.contains(&offset.saturating_add(length)) {
            return Self::default();
        }
        let [count, sum, min, max, zero_count] = figures;
        let within: u64 = buckets.iter().map(|count| u64::from(*count)).sum();
        // A bucket that is full has counted fewer than there were.
        let full = buckets.contains(&u32::MAX);
        let all = zero_count.saturating_add(within);
        if min > max || all > count || (all < count && !full) {
            return Self::default();
        }
        Self { count, sum, min, max, zero_count, offset, buckets }
    }

    /// Adds one value.
    pub(crate) fn record(&mut self, value_ns: u64) {
        self.min = if self.count == 0 { value_ns } else { self.min.min(value_ns) };
        self.max = self.max.max(value_ns);
        self.count += 1;
        self.sum = self.sum.saturating_add(value_ns);
        match bucket_of(value_ns) {
            None => self.zero_count += 1,
            Some(index) => {
                self.cover(index, index);
                self.add(index, 1);
            }
        }
    }

    /// Adds all values of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        if !other.buckets.is_empty() {
            self.cover(other.offset, other.offset + other.buckets.len() as i32 - 1);
            for (index, count) in (other.offset..).zip(&other.buckets) {
                self.add(index, *count);
            }
        }
    }

    /// The value that a share of `q` (0 to 1) of all values does not exceed; `None` without values.
    pub(crate) fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count);
        if rank == self.count {
            return Some(self.max);
        }
        let mut seen = self.zero_count;
        if rank <= seen {
            return Some(0);
        }
        for (index, count) in (self.offset..).zip(&self.buckets) {
            seen = seen.saturating_add(u64::from(*count));
            if rank <= seen {
                let middle =
                    (1e9 * ((f64::from(index) + 0.5) / f64::from(PER_DOUBLING)).exp2()).round() as u64;
                return Some(middle.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// How many values are in higher buckets than this one is.
    pub(crate) fn above(&self, value_ns: u64) -> u64 {
        let Some(bucket) = bucket_of(value_ns) else { return self.count - self.zero_count };
        let higher = (self.offset..).zip(&self.buckets).filter(|(index, _)| *index > bucket);
        higher.map(|(_, count)| u64::from(*count)).sum()
    }

    /// How many values.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values.
    pub(crate) const fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest value; 0 without values.
    pub(crate) const fn min(&self) -> u64 {
        self.min
    }

    /// The largest value; 0 without values.
    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    /// How many values were 0, which is in no bucket.
    pub(crate) const fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// The scale, as OpenTelemetry counts it.
    pub(crate) const fn scale() -> i32 {
        SCALE as i32
    }

    /// The index of the first bucket.
    pub(crate) const fn offset(&self) -> i32 {
        self.offset
    }

    /// The buckets from `offset` on.
    pub(crate) fn buckets(&self) -> &[u32] {
        &self.buckets
    }

    /// Makes room for the buckets from `low` to `high`.
    fn cover(&mut self, low: i32, high: i32) {
        if self.buckets.is_empty() {
            self.offset = low;
        } else if low < self.offset {
            let missing = (self.offset - low) as usize;
            self.buckets.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = low;
        }
        let length = (high - self.offset + 1) as usize;
        if length > self.buckets.len() {
            self.buckets.resize(length, 0);
        }
    }

    fn add(&mut self, index: i32, count: u32) {
        if let Some(bucket) = self.buckets.get_mut((index - self.offset) as usize) {
            *bucket = bucket.saturating_add(count);
        }
    }
}

/// The bucket of so many nanoseconds: `i` where `base^i < value <= base^(i+1)` in seconds; `None` for 0.
fn bucket_of(value: u64) -> Option<i32> {
    let exponent = value.checked_ilog2()? as i32;
    let mantissa = value << value.leading_zeros();
    let within = BOUNDS.partition_point(|bound| *bound < mantissa) as i32;
    Some(FIRST + exponent * PER_DOUBLING + within)
}

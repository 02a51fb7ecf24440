//! A mergeable exponential histogram of durations, with the buckets of OpenTelemetry's at scale 5.

#[cfg(test)]
mod tests;

/// The buckets' base is `2^(2^-SCALE)`.
const SCALE: u32 = 5;
/// Buckets for each doubling.
const PER_DOUBLING: i32 = 1 << SCALE;

/// The lower bounds of one doubling's buckets, as 64 bits of mantissa: `floor(2^(63 + i/32))`. All but
/// the first are irrational, so `mantissa > BOUNDS[i]` compares exactly.
const BOUNDS: [u64; PER_DOUBLING as usize] = [
    0x8000_0000_0000_0000,
    0x82cd_8698_ac2b_a1d7,
    0x85aa_c367_cc48_7b14,
    0x8898_0e80_92da_8527,
    0x8b95_c1e3_ea8b_d6e6,
    0x8ea4_398b_45cd_53c0,
    0x91c3_d373_ab11_c336,
    0x94f4_efa8_fef7_0961,
    0x9837_f051_8db8_a96f,
    0x9b8d_39b9_d54e_5538,
    0x9ef5_3260_91a1_11ad,
    0xa270_4303_0c49_6818,
    0xa5fe_d6a9_b151_38ea,
    0xa9a1_5ab4_ea7c_0ef8,
    0xad58_3eea_42a1_4ac6,
    0xb123_f581_d2ac_258f,
    0xb504_f333_f9de_6484,
    0xb8fb_af47_62fb_9ee9,
    0xbd08_a39f_580c_36be,
    0xc12c_4cca_6670_9456,
    0xc567_2a11_5506_dadd,
    0xc9b9_bd86_6e2f_27a2,
    0xce24_8c15_1f84_80e3,
    0xd2a8_1d91_f12a_e45a,
    0xd744_fcca_d69d_6af4,
    0xdbfb_b797_daf2_3755,
    0xe0cc_deec_2a94_e111,
    0xe5b9_06e7_7c83_48a8,
    0xeac0_c6e7_dd24_392e,
    0xefe4_b99b_dcda_f5cb,
    0xf525_7d15_2486_cc2c,
    0xfa83_b2db_722a_033a,
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
        let all = -1..=64 * PER_DOUBLING;
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
                let middle = ((f64::from(index) + 0.5) / f64::from(PER_DOUBLING)).exp2().round() as u64;
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

/// The bucket of a value: `i` where `base^i < value <= base^(i+1)`; `None` for 0.
fn bucket_of(value: u64) -> Option<i32> {
    let exponent = value.checked_ilog2()? as i32;
    let mantissa = value << value.leading_zeros();
    let within = BOUNDS.partition_point(|bound| *bound < mantissa) as i32;
    Some(exponent * PER_DOUBLING + within - 1)
}

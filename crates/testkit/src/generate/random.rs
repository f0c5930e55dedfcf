//! Numbers that look random and follow from the seed alone.
//!
//! Every number is drawn for a purpose and an index, not from a sequence: a change to one object never shifts what
//! the others look like. Deliberately absent: any cryptographic claim.

/// What a number is drawn for.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Purpose {
    Guid = 1,
    GuidTail,
    Domain,
    Culture,
    Given,
    Surname,
    Manager,
    Title,
    Disabled,
    Wanted,
    Membership,
    Membership2,
    EmptyGroup,
    GroupKind,
    GroupName,
    Nested,
    Partner,
    Site,
    Style,
    Nickname,
    Phone,
    Mobile,
    Type,
    Description,
    Extension1,
    Extension2,
    Extension3,
    Created,
    Changed,
    Password,
    Expires,
    Leave,
}

/// A source of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Draws 64 bits.
    pub fn bits(self, purpose: Purpose, index: usize) -> u64 {
        let stream = mix(self.0 ^ (purpose as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        mix(stream.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Draws a number below `bound`; 0 when the bound is 0.
    pub fn below(self, purpose: Purpose, index: usize, bound: usize) -> usize {
        let wide = u128::from(self.bits(purpose, index)) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or_default()
    }

    /// Whether something is so that is so for `percent` of all indexes.
    pub fn chance(self, purpose: Purpose, index: usize, percent: usize) -> bool {
        self.below(purpose, index, 100) < percent
    }
}

/// The output function of splitmix64: one to one, every input bit changes half of the output.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

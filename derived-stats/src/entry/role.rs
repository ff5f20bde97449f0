//! What a field is for, and how its number is written, with the stable codes of both in binary forms of a result.

/// The role of a field, which detectors, charts and alarms use for all algorithms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Role {
    /// 1 if the newest value raises an alarm, else 0.
    Alarm,
    /// The expected value of a detector at the time of the newest value.
    Expected,
    /// The upper bound of the band of normal values.
    High,
    /// The lower bound of that band.
    Low,
    /// The anomaly score of the newest value: the larger by size, the more unusual.
    Score,
    /// The value of the result, which the next link of a chain or a detector takes. In the result of a detector, the
    /// newest value that it took.
    Value,
}

/// The form of a number in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Form {
    /// A number.
    Plain,
    /// A text of six significant digits, as by C's `%g`: Contrail's `state`.
    SixDigits,
}

impl Role {
    /// A stable code, for binary forms of a result. 0 means no role.
    pub fn code(role: Option<Self>) -> u8 {
        match role {
            None => 0,
            Some(Self::Expected) => 1,
            Some(Self::High) => 2,
            Some(Self::Low) => 3,
            Some(Self::Score) => 4,
            Some(Self::Value) => 5,
            Some(Self::Alarm) => 6,
        }
    }

    /// The inverse of [`code`](Self::code); `None` for a code that no role has.
    pub fn from_code(code: u8) -> Option<Option<Self>> {
        Some(match code {
            0 => None,
            1 => Some(Self::Expected),
            2 => Some(Self::High),
            3 => Some(Self::Low),
            4 => Some(Self::Score),
            5 => Some(Self::Value),
            6 => Some(Self::Alarm),
            _ => return None,
        })
    }
}

impl Form {
    /// A stable code, for binary forms of a result.
    pub fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::SixDigits => 1,
        }
    }

    /// The inverse of [`code`](Self::code); `None` for a code that no form has.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Plain),
            1 => Some(Self::SixDigits),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_forms_have_stable_numbers() {
        let roles = [Role::Expected, Role::High, Role::Low, Role::Score, Role::Value, Role::Alarm].map(Some);
        let roles = [None].into_iter().chain(roles);
        for (code, role) in (0..).zip(roles) {
            assert_eq!((Role::code(role), Role::from_code(code)), (code, Some(role)));
        }
        for (code, form) in [(0, Form::Plain), (1, Form::SixDigits)] {
            assert_eq!((form.code(), Form::from_code(code)), (code, Some(form)));
        }
        assert_eq!((Role::from_code(7), Form::from_code(2)), (None, None));
    }
}

//! What a scope said about one object, clause by clause, for people.
//!
//! The answers are those of [`Clause::holds`], which decides in a sync, too.

use onesync_expr::Source;
use onesync_model::{Value, Values, ValuesRef};

use crate::scope::substitute;
use crate::{Clause, Operand, Operator, Scope};

/// The clauses of a scope's groups with their answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScopeTrace {
    /// All clauses of one group, of any group; without groups: all objects.
    pub groups: Vec<Vec<ClauseTrace>>,
}

/// One comparison and its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClauseTrace {
    /// The attribute's name.
    pub attribute: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what, parameters replaced where they are set.
    pub with: Vec<String>,
    /// The object's values; the groups that it is a member of, where groups are asked for.
    pub values: Option<Values>,
    /// How many links there are, where links are looked at.
    pub links: Option<u64>,
    /// The answer, or why there is none.
    pub holds: Result<bool, String>,
}

impl ScopeTrace {
    /// Whether the object is in scope; `Err` has the first clause that could not be answered. The same as
    /// [`Scope::holds`]: a group that holds decides before an error in a later one is met.
    ///
    /// # Errors
    /// When a clause that decides has no answer.
    pub fn holds(&self) -> Result<bool, &str> {
        if self.groups.is_empty() {
            return Ok(true);
        }
        for group in &self.groups {
            let mut all = true;
            for clause in group {
                match &clause.holds {
                    Ok(true) => {}
                    Ok(false) => {
                        all = false;
                        break;
                    }
                    Err(message) => return Err(message),
                }
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Of each group the first clause that does not hold: why the object is out of scope.
    pub fn failing(&self) -> impl Iterator<Item = &ClauseTrace> {
        self.groups.iter().filter_map(|group| group.iter().find(|clause| clause.holds != Ok(true)))
    }
}

impl Scope {
    /// Answers every clause for an object.
    #[must_use]
    pub fn trace(&self, source: &dyn Source) -> ScopeTrace {
        let group = |clauses: &Vec<Clause>| clauses.iter().map(|clause| clause.trace(source)).collect();
        ScopeTrace { groups: self.groups().iter().map(group).collect() }
    }
}

impl Clause {
    fn trace(&self, source: &dyn Source) -> ClauseTrace {
        let with = |text: &String| substitute(text, source).map_or_else(|_| text.clone(), |t| t.into_owned());
        let (values, links) = match self.operand {
            Operand::Attribute(id) => (source.values(id).and_then(ValuesRef::to_values), None),
            Operand::Link(id) => (None, Some(source.link_count(id))),
            Operand::Groups => {
                let groups = source.groups().into_iter().map(Value::string).collect();
                (Values::new(groups), None)
            }
            Operand::Dn => (source.dn().map(|dn| Values::one(Value::string(dn))), None),
        };
        ClauseTrace {
            attribute: self.attribute.clone(),
            operator: self.operator,
            with: self.values().iter().map(with).collect(),
            values,
            links,
            holds: self.holds(source).map_err(|error| error.to_string()),
        }
    }
}

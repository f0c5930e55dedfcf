//! What happens in a company. Each change is written down for people in one line.
//!
//! Deliberately absent: changes to contacts, new groups.

use super::random::Purpose;
use super::tables::TABLES;
use super::{ALL_STAFF, Company, Person, counted, department, id, name_of, small};

impl Company {
    /// Hires someone, who joins groups like everyone; their index is the highest.
    pub fn hire(&mut self) -> String {
        let index = self.add_person();
        let groups: Vec<usize> = self.groups.iter().map(|group| group.members.len()).collect();
        self.join_groups(index);
        let change = self.change();
        for (group, before) in self.groups.iter_mut().zip(groups) {
            if group.members.len() > before {
                group.changed = change;
            }
        }
        self.people[index].changed = change;
        let place = department(&self.people[index]).name;
        format!("hired {} into {place}", self.who(index))
    }

    /// Gives a person a new surname, and with it a new display name, cn, mail address and userPrincipalName.
    pub fn marry(&mut self, person: usize) -> String {
        let before = self.who(person);
        let change = self.change();
        let draw = self.random.bits(Purpose::Surname, usize::MAX / 2 - change as usize);
        let Some(changed) = employed(&mut self.people, person) else { return self.nobody(person) };
        let surnames = &TABLES.cultures[name_of(&TABLES.given, changed.given).culture].surnames;
        let count = surnames.len() as u64;
        let old = u64::from(changed.surname) - surnames.start as u64;
        // 1 to count - 1 further: never the same again.
        let new = (old + 1 + draw % (count - 1)) % count;
        changed.surname = id(surnames.start + usize::try_from(new).unwrap_or_default());
        changed.number = counted(&mut self.logins, (changed.given, changed.surname));
        changed.changed = change;
        format!("{before} married and is now {}", self.who(person))
    }

    /// Moves a person to another department, that is to another OU, with another title and manager.
    pub fn move_to_department(&mut self, person: usize) -> String {
        let change = self.change();
        let count = TABLES.departments.len();
        let further = 1 + self.random.below(Purpose::Culture, usize::MAX / 2 - change as usize, count - 1);
        let who = self.who(person);
        let Some(current) = self.people.get(person).filter(|person| !person.left) else {
            return self.nobody(person);
        };
        let old = department(current).name;
        let new = (usize::from(current.department) + further) % count;
        let title = self.draw_title(new, usize::MAX / 2 - change as usize);
        // The heads were the first to come and report to the first of all, wherever they move: no cycles.
        let manager = match person {
            0 => None,
            _ if person <= count => Some(0),
            _ if self.is_employed(new + 1) => Some(small(new + 1)),
            _ => Some(0),
        };
        let Some(changed) = employed(&mut self.people, person) else { return self.nobody(person) };
        changed.department = u8::try_from(new).unwrap_or_default();
        changed.title = u8::try_from(title).unwrap_or_default();
        changed.manager = manager;
        changed.changed = change;
        let new = department(changed);
        format!("{who} moved from {old} to {} as {}", new.name, new.titles[title])
    }

    /// Deletes a person. As Active Directory does it, groups and reports lose the reference at once.
    pub fn leave(&mut self, person: usize) -> String {
        let who = self.who(person);
        let Some(changed) = employed(&mut self.people, person) else { return self.nobody(person) };
        changed.left = true;
        self.left += 1;
        self.change();
        format!("{who} left the company")
    }

    /// Disables a person's account.
    pub fn disable(&mut self, person: usize) -> String {
        let who = self.who(person);
        let change = self.change();
        let Some(changed) = employed(&mut self.people, person) else { return self.nobody(person) };
        if changed.disabled {
            return format!("{who} was disabled already: nothing changed");
        }
        changed.disabled = true;
        changed.changed = change;
        format!("{who} was disabled")
    }

    /// Makes a person a member of a group.
    pub fn add_member(&mut self, group: usize, person: usize) -> String {
        if !self.is_employed(person) {
            return self.nobody(person);
        }
        let (who, name, member) = (self.who(person), self.group_name(group), small(person));
        let change = self.change();
        let Some(changed) = self.groups.get_mut(group) else { return no_group(group) };
        if changed.members.contains(&member) {
            return format!("{who} was in {name} already: nothing changed");
        }
        changed.members.push(member);
        changed.changed = change;
        format!("{who} joined the group {name}")
    }

    /// Ends a person's membership of a group.
    pub fn remove_member(&mut self, group: usize, person: usize) -> String {
        if !self.is_employed(person) {
            return self.nobody(person);
        }
        let (who, name, member) = (self.who(person), self.group_name(group), small(person));
        let change = self.change();
        let Some(changed) = self.groups.get_mut(group) else { return no_group(group) };
        let Some(place) = changed.members.iter().position(|other| *other == member) else {
            return format!("{who} was not in {name}: nothing changed");
        };
        changed.members.remove(place);
        changed.changed = change;
        format!("{who} left the group {name}")
    }

    /// Deletes so many people at once, drawn from all; everyone, if there are fewer.
    pub fn leave_many(&mut self, count: usize) -> String {
        let change = self.change() as usize;
        let mut there = self.people();
        let mut wanted = count.min(there);
        let gone = wanted;
        let random = self.random;
        for (index, person) in self.people.iter_mut().enumerate().filter(|(_, person)| !person.left) {
            // Selection sampling: each is as likely, and the count is met exactly.
            if random.below(Purpose::Leave, index ^ (change << 32), there) < wanted {
                person.left = true;
                wanted -= 1;
            }
            there -= 1;
        }
        self.left += gone;
        format!("{gone} people left the company at once, {} remain", self.people())
    }

    fn change(&mut self) -> u32 {
        self.changes += 1;
        self.changes
    }

    fn who(&self, person: usize) -> String {
        format!("{} ({})", self.name(person), self.upn(person))
    }

    fn nobody(&self, person: usize) -> String {
        match self.people.get(person) {
            Some(_) => format!("{} has left already: nothing changed", self.who(person)),
            None => format!("there never was a person {person}: nothing changed"),
        }
    }
}

fn employed(people: &mut [Person], person: usize) -> Option<&mut Person> {
    people.get_mut(person).filter(|person| !person.left)
}

fn no_group(group: usize) -> String {
    format!("there is no group {group}, the first is {ALL_STAFF}: nothing changed")
}

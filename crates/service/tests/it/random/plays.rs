//! Plays by name: what chance shows too seldom, and what it once found.

use super::acts::{Act, Play};

type ByName = (&'static str, fn() -> Play);

/// Objects of forest `a` are picked by the order of their anchors as text: `a-10` comes before `a-2`.
pub const BY_NAME: &[ByName] = &[
    ("who was refused takes the place of one that is gone, at once", || Play {
        first: vec![user_with(10, 2, 0), user_with(23, 0, 4), user_with(19, 1, 0)],
        rounds: vec![vec![user_with(11, 3, 4)], vec![Act::Remove { b: false, at: 51 }]],
    }),
    ("a link is owed to an account that is deleted there", || Play {
        first: vec![
            Act::Add { b: false, sort: 0, number: 2, uid: 0, mail: 0, container: 0 },
            Act::Link { b: false, at: 0, name: 0, to: 0 },
            Act::Add { b: false, sort: 5, number: 0, uid: 0, mail: 1, container: 0 },
        ],
        rounds: vec![vec![Act::Delete { at: 73 }, Act::Link { b: false, at: 19, name: 0, to: 8 }]],
    }),
    ("the group of a scope gets a member, loses one, is renamed, goes and comes back", || Play {
        // sorted by anchor as text: a-1, a-11 (the group), a-2
        first: vec![user(false, 1, 1), user(false, 2, 2), group(false, 11, 1), member(1, 0)],
        rounds: vec![
            vec![member(1, 2)],
            vec![Act::Unlink { b: false, at: 1, nth: 0 }],
            vec![Act::Rename { b: false, at: 1, name: 4, container: 0 }],
            vec![Act::Rename { b: false, at: 1, name: 11, container: 0 }],
            vec![Act::Remove { b: false, at: 1 }],
            vec![group(false, 11, 1), member(1, 0)],
        ],
    }),
    ("the container of a scope's group is renamed", || Play {
        // the person lies in another container: nothing but the group is renamed with it
        first: vec![user_in(true, 1, 1, 2), group(true, 11, 1), Act::Link { b: true, at: 1, name: 0, to: 0 }],
        rounds: vec![vec![container(0, 4, 9)], vec![container(0, 0, 9)]],
    }),
    ("a scope's group with several pages of members is renamed", || Play {
        // sorted by anchor as text: the group comes after the users
        first: (10..18)
            .map(|number| {
                let own = number - 10;
                Act::Add { b: true, sort: 0, number, uid: own, mail: own, container: 0 }
            })
            .chain([group(true, 5, 1), move_to(true, 8, 2, 1)])
            .chain((0..8).map(|to| Act::Link { b: true, at: 8, name: 0, to }))
            .collect(),
        rounds: vec![vec![move_to(true, 8, 3, 1)], vec![move_to(true, 8, 2, 1)]],
    }),
    ("who enters the scope is found by those who name it", || Play {
        first: vec![user(false, 1, 1), user(false, 2, 2), hide(false, 1, Some(0)), manager(false, 0, 1)],
        rounds: vec![vec![hide(false, 1, None)]],
    }),
    ("who enters the scope of the cloud brings its links and is found by others", || Play {
        first: vec![
            user(false, 1, 1),
            user(false, 2, 2),
            user(false, 3, 3),
            department(1, 3),
            manager(false, 0, 1),
            manager(false, 1, 2),
        ],
        rounds: vec![vec![department(1, 0)]],
    }),
    ("an object leaves that gave a link which another does not give", || Play {
        first: vec![user(false, 1, 1), user(true, 1, 1), group(false, 2, 1), member(1, 0)],
        rounds: vec![vec![hide(false, 0, Some(0))]],
    }),
    ("a name appears that a link has waited for", || Play {
        first: vec![group(false, 2, 1), user(false, 1, 1), Act::Dangle { b: false, at: 1, name: 0, to: 4 }],
        rounds: vec![
            vec![user_in(false, 4, 4, 0)],
            vec![Act::Rename { b: false, at: 0, name: 4, container: 2 }],
        ],
    }),
    ("a name is taken that a link has waited for", || Play {
        first: vec![
            group(false, 2, 1),
            user_in(false, 4, 4, 3),
            Act::Dangle { b: false, at: 0, name: 0, to: 4 },
        ],
        rounds: vec![vec![Act::Rename { b: false, at: 1, name: 4, container: 0 }]],
    }),
    ("a team that is adopted late is a member at once", || {
        let mut first: Vec<Act> = (0..4).map(|n| user(false, 10 + n, n + 1)).collect();
        first.extend([group(false, 7, 1), group(false, 8, 2), member(5, 4)]);
        first.extend((0..4).map(|n| member(4, n)));
        first.push(Act::Make { b: false, number: 7, team: true });
        Play { first, rounds: vec![vec![Act::Unlink { b: false, at: 4, nth: 0 }]] }
    }),
    ("an object of another type waits until what it was has left", || {
        let later = |value| vec![Act::Text { b: false, at: 0, name: 2, value: Some(value) }];
        let cn = Act::Key { b: false, at: 0, second: false, value: Some(1) };
        let retyped = vec![Act::Retype { b: false, at: 0, sort: 1 }, cn];
        Play { first: vec![user(false, 1, 1)], rounds: vec![retyped, later(0), later(1), later(2), later(3)] }
    }),
    ("a newcomer wants the place that somebody leaves at the same time", || Play {
        first: vec![Act::Add { b: false, sort: 0, number: 18, uid: 1, mail: 0, container: 0 }],
        rounds: vec![
            vec![Act::Add { b: true, sort: 0, number: 0, uid: 7, mail: 0, container: 0 }],
            vec![
                Act::Add { b: false, sort: 0, number: 11, uid: 7, mail: 1, container: 0 },
                Act::Remove { b: false, at: 1 },
            ],
        ],
    }),
    ("an account that somebody made belongs to a person who is not for the cloud", || Play {
        first: vec![Act::Make { b: false, number: 21, team: false }],
        rounds: vec![vec![Act::Add { b: false, sort: 0, number: 21, uid: 0, mail: 3, container: 0 }]],
    }),
    ("who has left is linked to no more", || {
        let later = |value| vec![Act::Text { b: false, at: 0, name: 2, value: Some(value) }];
        let first = vec![user(false, 1, 1), user(false, 2, 2), manager(false, 0, 1)];
        Play { first, rounds: vec![vec![hide(false, 1, Some(0))], later(0), later(1), later(2), later(3)] }
    }),
    ("the rival of two who share other values leaves the scope", || Play {
        first: vec![
            Act::Add { b: false, sort: 0, number: 0, uid: 5, mail: 0, container: 0 },
            Act::Add { b: false, sort: 0, number: 2, uid: 0, mail: 0, container: 0 },
            Act::Add { b: false, sort: 0, number: 1, uid: 5, mail: 0, container: 0 },
        ],
        rounds: vec![vec![hide(false, 0, Some(0))]],
    }),
    ("a newcomer wants what two others are refused already", || Play {
        first: vec![
            Act::Add { b: true, sort: 0, number: 19, uid: 0, mail: 6, container: 0 },
            Act::Add { b: true, sort: 0, number: 14, uid: 0, mail: 6, container: 0 },
            Act::Key { b: true, at: 0, second: false, value: None },
        ],
        rounds: vec![vec![Act::Add { b: true, sort: 0, number: 0, uid: 0, mail: 0, container: 0 }]],
    }),
    ("who holds a place by its name is renamed", || Play {
        first: vec![user(true, 10, 7)],
        rounds: vec![
            vec![Act::Text { b: true, at: 0, name: 2, value: Some(0) }, user(true, 0, 7)],
            vec![Act::Rename { b: true, at: 1, name: 3, container: 1 }],
        ],
    }),
    ("an object of another type holds no person that goes on with someone else", || Play {
        first: vec![Act::Add { b: false, sort: 0, number: 0, uid: 0, mail: 6, container: 0 }],
        rounds: vec![
            vec![Act::Retype { b: false, at: 0, sort: 1 }],
            vec![Act::Add { b: false, sort: 0, number: 1, uid: 0, mail: 0, container: 0 }],
        ],
    }),
    ("an object becomes one of a type that is not read", || Play {
        first: vec![user(false, 0, 0), user(true, 0, 0)],
        rounds: vec![vec![Act::Retype { b: true, at: 0, sort: 2 }]],
    }),
    ("many links of one object come in one change", || Play {
        first: vec![user(true, 10, 0), group(true, 11, 0), user(true, 2, 2)],
        rounds: vec![vec![
            Act::Link { b: true, at: 1, name: 0, to: 0 },
            Act::Link { b: true, at: 1, name: 0, to: 2 },
        ]],
    }),
    ("a person and a contact of one forest have one address", || Play {
        first: vec![
            Act::Add { b: false, sort: 0, number: 19, uid: 1, mail: 2, container: 0 },
            Act::Add { b: false, sort: 5, number: 1, uid: 0, mail: 2, container: 0 },
        ],
        rounds: vec![],
    }),
    ("a container with many objects is renamed", || Play {
        first: (0..8).map(|n| user(true, 10 + n, n)).collect(),
        rounds: vec![vec![container(0, 4, 9)]],
    }),
    ("a container moves into another, which is renamed", || Play {
        first: vec![user_in(true, 1, 1, 1), user_in(true, 2, 2, 0)],
        rounds: vec![vec![container(1, 1, 0)], vec![container(0, 4, 9)]],
    }),
    ("containers change names with each other, and what was put by name is there", || Play {
        first: vec![user_in(true, 1, 1, 0), user_in(true, 2, 2, 1)],
        rounds: vec![
            vec![container(0, 4, 9), container(1, 0, 9), container(0, 1, 9), user_in(true, 3, 3, 0)],
            vec![container(0, 3, 1), user_in(true, 4, 4, 1), container(2, 1, 9), container(2, 4, 9)],
        ],
    }),
    (
        "a container gets the name under which objects lie that nobody knows a container of, and another one",
        || Play {
            first: vec![user_in(true, 1, 1, 4), user_in(true, 2, 2, 0)],
            rounds: vec![vec![container(0, 4, 9)], vec![container(0, 5, 9)]],
        },
    ),
    ("a new container has the name of one that is renamed at the same time, and is told first", || Play {
        first: vec![user_in(true, 1, 1, 3)],
        rounds: vec![vec![
            container(3, 4, 9),
            Act::Container { b: true, at: 0, name: None, into: 9 },
            Act::Open { b: true, number: 0, name: 3 },
        ]],
    }),
    ("who leaves names somebody who leaves at the same time and was never in the cloud", || Play {
        first: vec![user(false, 1, 1), user(false, 2, 2), department(0, 3), manager(false, 1, 0)],
        rounds: vec![vec![Act::Remove { b: false, at: 1 }, hide(false, 0, Some(0))]],
    }),
    (
        "who is named in a text by a link is renamed and moved, and has a new name in a renamed container",
        || Play {
            first: vec![user_in(true, 1, 1, 3), user_in(true, 2, 2, 2), manager(true, 0, 1)],
            rounds: vec![
                vec![move_to(true, 1, 4, 2)],
                vec![move_to(true, 1, 4, 1)],
                vec![move_to(true, 1, 4, 2)],
                vec![container(2, 4, 9)],
            ],
        },
    ),
    ("who is to be named in a text appears later", || Play {
        first: vec![user(true, 1, 1), Act::Dangle { b: true, at: 0, name: 0, to: 2 }],
        // outside the scope: nothing else comes of it
        rounds: vec![vec![user(true, 2, 2), hide(true, 1, Some(0))]],
    }),
    ("one member is exchanged for another one", || Play {
        // so many that the group is not for the cloud: nothing comes back from there
        first: (1..=6)
            .map(|number| user(false, number, number))
            .chain([group(false, 7, 1)])
            .chain((0..4).map(|to| member(6, to)))
            .collect(),
        rounds: vec![vec![Act::Unlink { b: false, at: 6, nth: 0 }, member(6, 5)]],
    }),
    ("members are chosen by where they lie, and move", || Play {
        // sorted by anchor as text: b-1, b-11 (the group), b-2
        first: vec![
            group(false, 12, 1),
            user(true, 1, 1),
            user_in(true, 2, 2, 2),
            group(true, 11, 1),
            Act::Link { b: true, at: 1, name: 0, to: 0 },
            Act::Link { b: true, at: 1, name: 0, to: 2 },
        ],
        rounds: vec![
            vec![move_to(true, 2, 2, 0)],
            vec![move_to(true, 0, 1, 2)],
            vec![container(2, 4, 9)],
            vec![container(0, 2, 9)],
        ],
    }),
    ("a member who is not chosen enters the scope", || Play {
        // sorted by anchor as text: b-1, b-11 (the group), b-2; so many that it is not for the cloud
        first: (3..7)
            .map(|number| user(false, number, number))
            .chain([group(false, 8, 1)])
            .chain((0..4).map(|to| member(4, to)))
            .chain([user(true, 1, 1), user_in(true, 2, 2, 2), group(true, 11, 1), hide(true, 2, Some(0))])
            .chain([0, 2].map(|to| Act::Link { b: true, at: 1, name: 0, to }))
            .collect(),
        rounds: vec![vec![hide(true, 2, None)]],
    }),
    ("an object of the cloud that nobody joins is a member there", || Play {
        first: vec![
            user(false, 1, 1),
            group(false, 2, 1),
            Act::Make { b: true, number: 20, team: false },
            Act::Make { b: true, number: 21, team: false },
        ],
        rounds: vec![vec![
            Act::CloudLink { at: 1, to: 2, add: true },
            Act::CloudLink { at: 0, to: 2, add: true },
        ]],
    }),
];

fn user(b: bool, number: u8, uid: u8) -> Act {
    user_in(b, number, uid, 0)
}

fn user_in(b: bool, number: u8, uid: u8, container: u8) -> Act {
    // a department that lets it into the cloud
    Act::Add { b, sort: 0, number, uid, mail: (uid % 2) * 4 + uid % 3, container }
}

fn group(b: bool, number: u8, cn: u8) -> Act {
    Act::Add { b, sort: 3, number, uid: cn, mail: 0, container: 0 }
}

fn move_to(b: bool, at: u8, name: u8, container: u8) -> Act {
    Act::Rename { b, at, name, container }
}

fn hide(b: bool, at: u8, value: Option<u8>) -> Act {
    Act::Text { b, at, name: 3, value }
}

fn department(at: u8, value: u8) -> Act {
    Act::Text { b: false, at, name: 1, value: Some(value) }
}

fn manager(b: bool, at: u8, to: u8) -> Act {
    Act::Link { b, at, name: 0, to }
}

fn container(at: u8, name: u8, into: u8) -> Act {
    Act::Container { b: true, at, name: Some(name), into }
}

fn member(at: u8, to: u8) -> Act {
    Act::Link { b: false, at, name: 0, to }
}

/// A user of forest `a` with these join values.
fn user_with(number: u8, uid: u8, mail: u8) -> Act {
    Act::Add { b: false, sort: 0, number, uid, mail, container: 0 }
}

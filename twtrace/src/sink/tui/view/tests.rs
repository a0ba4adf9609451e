use super::{Act, Key, List, Sort, Tab, View};
use crate::{
    cli::FilterArgs,
    model::{filter::Filter, report::Host},
    sink::tui::{Command, Options, Seek, Theme},
};
use proptest::prelude::*;

fn view(replayed: bool) -> View {
    View::new(&Options {
        filter: Filter::default(),
        parse: FilterArgs::parse_line,
        host: Host::default(),
        replayed,
        theme: Theme::Plain,
    })
}

fn press(view: &mut View, keys: &str) -> Act {
    keys.chars().fold(Act::Look, |_, key| view.press(Key::Char(key)))
}

#[test]
fn every_tab_has_a_number_and_a_letter() {
    let mut view = view(false);
    for (keys, tab) in ["1o", "2c", "3t", "4a", "5r", "6e"].into_iter().zip(Tab::ALL) {
        for key in keys.chars() {
            view.press(Key::Char(key));
            assert_eq!(view.tab, tab, "{key}");
        }
    }
    view.press(Key::Right);
    assert_eq!(view.tab, Tab::Overview);
    press(&mut view, "hh");
    assert_eq!(view.tab, Tab::Closers);
    press(&mut view, "l");
    assert_eq!(view.tab, Tab::Events);
}

#[test]
fn the_cursor_follows_what_it_holds() {
    let mut view = view(false);
    press(&mut view, "cjjj");
    let cursor = view.cursor(List::Connections);
    cursor.settle(10, 5, |row| row as u64);
    assert_eq!((cursor.row, cursor.top, cursor.holds), (3, 0, Some(3)));
    // Two came in above: the row moves, and the window with it.
    cursor.settle(12, 5, |row| (row + 8) as u64 % 10);
    assert_eq!((cursor.row, cursor.top), (5, 2));
    // It is gone: the cursor stays where it is.
    cursor.settle(11, 5, |row| 100 + row as u64);
    assert_eq!((cursor.row, cursor.holds), (5, Some(105)));
    press(&mut view, "G");
    let cursor = view.cursor(List::Connections);
    cursor.settle(11, 5, |row| row as u64);
    assert_eq!((cursor.row, cursor.top), (10, 6));
    press(&mut view, "g");
    let cursor = view.cursor(List::Connections);
    cursor.settle(11, 5, |row| row as u64);
    // At the top it holds nothing: what comes in there is to be seen.
    assert_eq!((cursor.row, cursor.top, cursor.holds), (0, 0, None));
    cursor.settle(0, 5, |row| row as u64);
    assert_eq!((cursor.row, cursor.top), (0, 0));
}

#[test]
fn pages_are_as_long_as_the_screen() {
    let mut view = view(false);
    press(&mut view, "c");
    view.cursor(List::Connections).settle(100, 20, |row| row as u64);
    view.press(Key::PageDown);
    view.press(Key::PageDown);
    view.press(Key::WheelUp);
    assert_eq!(view.cursor(List::Connections).row, 37);
    view.press(Key::PageUp);
    assert_eq!(view.cursor(List::Connections).row, 17);
}

#[test]
fn sorting_goes_round() {
    let mut view = view(false);
    assert_eq!(press(&mut view, "cs"), Act::Sort);
    assert_eq!(view.sort(List::Connections), (Sort::State, false));
    press(&mut view, "S");
    assert_eq!(view.sort(List::Connections), (Sort::State, true));
    press(&mut view, "ss");
    assert_eq!(view.sort(List::Connections), (Sort::Bytes, false));
    press(&mut view, "s");
    assert_eq!(view.sort(List::Connections), (Sort::Age, false));
    // Each list for itself; Tab goes to the other one.
    press(&mut view, "t");
    assert_eq!(view.list(), List::TimeWaitProcesses);
    view.press(Key::Tab);
    assert_eq!(view.list(), List::Destinations);
    press(&mut view, "s");
    assert_eq!(view.sort(List::Destinations), (Sort::Count, false));
    assert_eq!(view.sort(List::TimeWaitProcesses), (Sort::Count, false));
}

#[test]
fn the_filter_is_typed_in_the_words_of_the_command_line() {
    let mut view = view(false);
    assert_eq!(press(&mut view, "/-D 443 -p q"), Act::Look);
    // A q is a letter here.
    assert_eq!(view.press(Key::Enter), Act::Look);
    let line = view.line.as_ref().expect("it is still there");
    assert_eq!(line.error.as_deref(), Some("invalid value 'q' for '--pid <PIDS>': invalid digit found in string"));
    view.press(Key::Backspace);
    assert_eq!(view.line.as_ref().and_then(|line| line.error.as_deref()), None);
    press(&mut view, "7");
    assert_eq!(view.press(Key::Enter), Act::Filter);
    assert_eq!((view.words.as_str(), view.line.is_none()), ("-D 443 -p 7", true));
    assert_eq!(view.filter.pids, [7]);
    // Left, it changes nothing; at the end Esc takes the filter away.
    press(&mut view, "/x");
    assert_eq!(view.press(Key::Esc), Act::Look);
    assert_eq!(view.words, "-D 443 -p 7");
    assert_eq!(view.press(Key::Esc), Act::Filter);
    assert_eq!((view.words.as_str(), &view.filter), ("", &Filter::default()));
    assert_eq!(view.press(Key::Esc), Act::Look);
}

#[test]
fn what_is_chosen_from_a_group_is_left_with_esc() {
    let mut view = view(false);
    press(&mut view, "/-4");
    view.press(Key::Enter);
    press(&mut view, "t");
    assert_eq!(view.press(Key::Enter), Act::Open);
    assert_eq!(view.choose("-p 42"), Act::Filter);
    assert_eq!((view.tab, view.words.as_str()), (Tab::Connections, "-4 -p 42"));
    assert_eq!(view.press(Key::Esc), Act::Filter);
    assert_eq!((view.tab, view.words.as_str()), (Tab::TimeWait, "-4"));
    assert_eq!(view.choose("--no-such-word"), Act::Look);
}

#[test]
fn what_is_for_the_run_goes_to_it() {
    let mut live = view(false);
    assert_eq!(press(&mut live, "w"), Act::Command(Command::Record));
    assert_eq!((press(&mut live, "p"), live.paused), (Act::Pause, true));
    assert_eq!((press(&mut live, " "), live.paused), (Act::Pause, false));
    assert_eq!(press(&mut live, "+"), Act::Look);
    for way_out in [Key::Char('q'), Key::Interrupt] {
        assert_eq!(live.press(way_out), Act::Command(Command::Quit));
    }
    press(&mut live, "/");
    assert_eq!(live.press(Key::Interrupt), Act::Command(Command::Quit));

    let mut recorded = view(true);
    let seeks = [
        (Key::Char(' '), Seek::Pause),
        (Key::Char('.'), Seek::Event),
        (Key::Char(','), Seek::Second),
        (Key::Left, Seek::Back),
        (Key::Right, Seek::Forward),
        (Key::Home, Seek::Begin),
        (Key::End, Seek::End),
        (Key::Char('+'), Seek::Faster),
        (Key::Char('-'), Seek::Slower),
    ];
    for (key, seek) in seeks {
        assert_eq!(recorded.press(key), Act::Command(Command::Replay(seek)), "{key:?}");
    }
    assert!(!recorded.paused);
}

#[test]
fn help_lies_over_everything() {
    let mut view = view(false);
    press(&mut view, "c?jjj");
    assert_eq!((view.help, view.scroll, view.cursor(List::Connections).row), (true, 3, 0));
    view.press(Key::Esc);
    assert_eq!((view.help, view.scroll, view.tab), (false, 0, Tab::Connections));
    press(&mut view, "??");
    assert!(!view.help);
    view.detail = Some(1);
    press(&mut view, "s");
    assert!(view.zoomed);
    view.press(Key::Esc);
    assert_eq!(view.detail, None);
}

proptest! {
    #[test]
    fn no_keys_break_it(keys in prop::collection::vec(any_key(), 0..200), rows in 0..50_usize, page in 0..20_usize) {
        let mut view = view(false);
        for key in keys {
            view.press(key);
            let list = view.list();
            let cursor = view.cursor(list);
            cursor.settle(rows, page, |row| row as u64);
            prop_assert!(cursor.row < rows.max(1));
            prop_assert!(cursor.top <= cursor.row && (page == 0 || cursor.row < cursor.top + page));
        }
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    let others = [
        Key::Enter,
        Key::Esc,
        Key::Backspace,
        Key::Tab,
        Key::BackTab,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::WheelUp,
        Key::WheelDown,
        Key::Erase,
    ];
    prop_oneof![
        any::<char>().prop_map(Key::Char),
        prop::sample::select(others.to_vec()),
        "[ -~]".prop_map(|word| Key::Char(word.chars().next().unwrap_or('q')))
    ]
}

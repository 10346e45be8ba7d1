//! The live table: what it remembers between two looks, how it is drawn, and the keys.

use std::time::{Duration, Instant};

use fairlane_client::Client;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table, TableState};

use super::{Look, Sort, TITLES, Top, cells};

/// Keys are looked for this often.
const KEYS_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn show(client: &Client, top: &Top) -> anyhow::Result<()> {
    let mut screen = Screen::new(Look::take(client).await?, top.sort);
    let mut terminal = ratatui::try_init()?;
    let result = live(client, top, &mut terminal, &mut screen).await;
    ratatui::restore();
    result
}

async fn live(
    client: &Client,
    top: &Top,
    terminal: &mut ratatui::DefaultTerminal,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let interval = Duration::from_millis(top.interval_ms);
    loop {
        let next = Instant::now() + interval;
        while Instant::now() < next {
            terminal.draw(|frame| screen.draw(frame))?;
            // The terminal has no asynchronous side; nothing else runs here meanwhile.
            let event = tokio::task::block_in_place(|| {
                if event::poll(KEYS_EVERY)? { event::read().map(Some) } else { Ok(None) }
            })?;
            if let Some(Event::Key(key)) = event
                && screen.press(key) == Then::End
            {
                return Ok(());
            }
        }
        screen.update(Look::take(client).await);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

#[derive(Debug)]
struct Screen {
    look: Look,
    sort: Sort,
    state: TableState,
    /// The last look failed, and why; the table is older.
    trouble: Option<String>,
}

impl Screen {
    fn new(mut look: Look, sort: Sort) -> Self {
        sort.apply(&mut look.tenants);
        let state = TableState::default().with_selected(0);
        Self { look, sort, state, trouble: None }
    }

    fn update(&mut self, look: anyhow::Result<Look>) {
        match look {
            Ok(mut look) => {
                self.sort.apply(&mut look.tenants);
                self.look = look;
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    fn press(&mut self, key: KeyEvent) -> Then {
        if key.kind == KeyEventKind::Release {
            return Then::GoOn;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Then::End,
            KeyCode::Char('c') if control => return Then::End,
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.sort.apply(&mut self.look.tenants);
            }
            KeyCode::Down | KeyCode::Char('j') => self.state.select_next(),
            KeyCode::Up | KeyCode::Char('k') => self.state.select_previous(),
            KeyCode::PageDown => self.state.scroll_down_by(20),
            KeyCode::PageUp => self.state.scroll_up_by(20),
            KeyCode::Home => self.state.select_first(),
            KeyCode::End => self.state.select_last(),
            _ => {}
        }
        Then::GoOn
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        frame.render_widget(Line::from(self.look.summary()), head);
        let held = self.look.slots_held();
        let rows: Vec<[String; TITLES.len()]> =
            self.look.tenants.iter().map(|tenant| cells(tenant, held)).collect();
        let widths = widths(&rows);
        let titles = TITLES.map(|title| cell(title, title.trim_start_matches('>').to_owned()));
        let lines = rows.into_iter().map(|row| {
            Row::new(TITLES.into_iter().zip(row).map(|(title, text)| cell(title, text)))
        });
        let table = Table::new(lines, widths)
            .header(Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD)))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, body, &mut self.state);
        frame.render_widget(Line::from(self.foot()), foot);
    }

    fn foot(&self) -> String {
        let keys = "q ends, s sorts by the next column, arrows scroll";
        match &self.trouble {
            Some(trouble) => format!("not up to date: {trouble}"),
            None => {
                format!("{} tenants by {}  |  {keys}", self.look.tenants.len(), self.sort.name())
            }
        }
    }
}

/// Numbers stand to the right.
fn cell(title: &str, text: String) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(if title.starts_with('>') { line.right_aligned() } else { line })
}

/// Each column as wide as it needs to be.
fn widths(rows: &[[String; TITLES.len()]]) -> Vec<Constraint> {
    let width = |(at, title): (usize, &&str)| {
        let title = title.trim_start_matches('>').len();
        let longest = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
        Constraint::Length(u16::try_from(longest.max(title)).unwrap_or(u16::MAX))
    };
    TITLES.iter().enumerate().map(width).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(screen: &mut Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(90, 5)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..90).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..5).map(|y| format!("{}\n", line(y).trim_end())).collect()
    }

    #[test]
    fn the_screen_shows_the_platform_the_tenants_and_the_keys() {
        let mut screen = Screen::new(super::super::tests::look(), Sort::Slots);
        expect![[r#"
            pool default: 24/100 slots, 4979 waiting, 2 workers  |  valve open, 5003 live runs
            TENANT TIER       SLOTS CAP  SHARE WAITING RUNS   P50   P95  DEBT LATE
            bank-7 standard 21 (+1)  20 87.5 %    4979 5000 52 ms 61 ms 1.5 s    0
            bank-1 standard       3  20 12.5 %       0    3 52 ms 61 ms     -    0
            2 tenants by slots  |  q ends, s sorts by the next column, arrows scroll
        "#]]
        .assert_eq(&drawn(&mut screen));
        screen.update(Err(anyhow::anyhow!("cannot connect")));
        assert!(drawn(&mut screen).contains("not up to date: cannot connect"));
    }

    #[test]
    fn keys_sort_and_end() {
        let mut screen = Screen::new(super::super::tests::look(), Sort::Slots);
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(screen.press(key(KeyCode::Char('s'))), Then::GoOn);
        assert_eq!(screen.sort, Sort::Waiting);
        assert_eq!(screen.press(key(KeyCode::Down)), Then::GoOn);
        assert_eq!(screen.press(key(KeyCode::Char('q'))), Then::End);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(interrupt), Then::End);
    }
}

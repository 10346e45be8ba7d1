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
        let summary = self.look.summary_within(usize::from(head.width));
        frame.render_widget(Line::from(summary), head);
        let held = self.look.slots_held();
        let titles = self.titles();
        let rows: Vec<[String; TITLES.len()]> =
            self.look.tenants.iter().map(|tenant| cells(tenant, held)).collect();
        let columns = columns(&titles, &rows, usize::from(body.width));
        let row = |texts: &[String; TITLES.len()]| {
            Row::new(columns.iter().map(|(at, width)| cell(*at, shorten(&texts[*at], *width))))
        };
        let lines: Vec<Row<'_>> = rows.iter().map(row).collect();
        let widths = columns.iter().map(|(_, width)| *width);
        let widths = widths.map(|width| u16::try_from(width).unwrap_or(u16::MAX));
        let table = Table::new(lines, widths.map(Constraint::Length))
            .column_spacing(1)
            .header(row(&titles).style(Style::new().add_modifier(Modifier::BOLD)))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, body, &mut self.state);
        frame.render_widget(Line::from(self.foot()), foot);
    }

    /// The titles, with a mark at the column that decides the order.
    fn titles(&self) -> [String; TITLES.len()] {
        let mut titles = TITLES.map(|title| title.trim_start_matches('>').to_owned());
        titles[self.sort.column()].push(if self.sort == Sort::Tenant {
            '\u{25b2}'
        } else {
            '\u{25bc}'
        });
        titles
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
fn cell(column: usize, text: String) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(if TITLES[column].starts_with('>') { line.right_aligned() } else { line })
}

/// The columns of names, which may be shortened to so many characters.
const NAMES: [(usize, usize); 3] = [(0, 12), (1, 6), (12, 10)];
/// The columns that go first where there is no room: what is said elsewhere, or follows from others.
const SPARE: [usize; 8] = [1, 8, 11, 4, 6, 7, 3, 2];

/// The columns that are shown and how wide each is. Names are shortened, numbers never: a column whose numbers
/// have no room is left out.
fn columns(
    titles: &[String; TITLES.len()],
    rows: &[[String; TITLES.len()]],
    width: usize,
) -> Vec<(usize, usize)> {
    let needed = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([titles[at].chars().count()]).max().unwrap_or_default()
    };
    let mut columns: Vec<(usize, usize)> =
        (0..TITLES.len()).map(|column| (column, needed(column))).collect();
    let total = |columns: &[(usize, usize)]| {
        columns.iter().map(|(_, width)| width + 1).sum::<usize>().saturating_sub(1)
    };
    for (name, least) in NAMES {
        let excess = total(&columns).saturating_sub(width);
        let own = &mut columns[name].1;
        *own = own.saturating_sub(excess).max(least.min(*own));
    }
    for spare in SPARE {
        if total(&columns) <= width {
            break;
        }
        columns.retain(|(column, _)| *column != spare);
    }
    // What a column has left free goes to the names again.
    let free = width.saturating_sub(total(&columns));
    if let Some((0, own)) = columns.first_mut() {
        *own = (*own + free).min(needed(0));
    }
    columns
}

/// The text without its middle, if it is too long: names that begin alike often end differently.
fn shorten(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let begin = text.chars().take(head);
    begin.chain(['\u{2026}']).chain(text.chars().skip(count - tail)).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(screen: &mut Screen) -> String {
        drawn_at(screen, 90)
    }

    fn drawn_at(screen: &mut Screen, width: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, 5)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..5).map(|y| format!("{}\n", line(y).trim_end())).collect()
    }

    #[test]
    fn the_screen_shows_the_platform_the_tenants_and_the_keys() {
        let mut screen = Screen::new(super::super::tests::look(), Sort::Slots);
        expect![[r#"
            healthy  |  valve open, 5003 live runs  |  1 more pools
            TENANT TIER    SLOTS▼ CAP  SHARE WAITING RUNS  WAIT   P50   P95  DEBT LATE WHY
            bank-7 sta…rd 21 (+1)  20 87.5 %    4979 5000 4.9 s 52 ms 61 ms 1.5 s    0 tenant-…default
            bank-1 sta…rd       3  20 12.5 %       0    3  0 us 52 ms 61 ms     -    0
            2 tenants by slots  |  q ends, s sorts by the next column, arrows scroll
        "#]]
        .assert_eq(&drawn(&mut screen));
        screen.update(Err(anyhow::anyhow!("cannot connect")));
        assert!(drawn(&mut screen).contains("not up to date: cannot connect"));
    }

    #[test]
    fn names_are_shortened_and_numbers_never() {
        let mut look = super::super::tests::look();
        for (tenant, number) in look.tenants.iter_mut().zip(17..) {
            tenant.tenant = format!("a-rather-long-institution-name-{number:03}");
            tenant.latency.as_mut().unwrap().p95_us = 60_000_000;
            tenant.debt_us = 12_000_000;
        }
        let pool = look.pools[0].clone();
        for name in ["gpu", "slow", "other"] {
            let mut more = pool.clone();
            more.name = name.to_owned();
            look.pools.push(more);
        }
        let mut screen = Screen::new(look, Sort::Debt);
        for width in [120, 80, 60] {
            let text = drawn_at(&mut screen, width);
            assert!(
                text.starts_with("healthy  |  valve open, 5003 live runs  |  "),
                "{width}:\n{text}"
            );
            assert!(text.lines().next().unwrap().contains(" more pools"), "{width}:\n{text}");
            for part in ["1 min 0 s", "12.0 s", "SLOTS", "WAITING", "DEBT", "4979", "-017", "-018"]
            {
                assert!(text.contains(part), "{part} at {width}:\n{text}");
            }
        }
        expect![[r#"
            healthy  |  valve open, 5003 live runs  |  4 more pools
            TENANT           SLOTS CAP  SHARE WAITING RUNS  WAIT       P95  DEBT▼ WHY
            a-rathe…me-017       3  20 12.5 %       0    3  0 us 1 min 0 s 12.0 s
            a-rathe…me-018 21 (+1)  20 87.5 %    4979 5000 4.9 s 1 min 0 s 12.0 s tenan…ault
            2 tenants by debt  |  q ends, s sorts by the next column, arrows scroll
        "#]]
        .assert_eq(&drawn_at(&mut screen, 80));
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

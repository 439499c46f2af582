//! One layered layout for every graph that is drawn: boxes in columns, arrows from left to right through the gaps.
//!
//! The usual four steps (Sugiyama): arrows that close a cycle are reversed; each box goes to the column after the last
//! box that leads to it; the order within the columns is chosen so that few arrows cross; and then the heights are set.
//! A label has its own place in a column between those of boxes, and an arrow that passes a column has a place there
//! too, so nothing can overlap. The computation uses whole numbers and a fixed number of rounds, so the result is the
//! same every time. Existing crates were considered: `rust-sugiyama` has no places for labels and for arrows that pass,
//! and `layout-rs` draws only in its own style.

use std::collections::BTreeMap;

/// The gap between columns, in which arrows bend, in pixels.
const GAP: i32 = 44;
/// The gap between two cells of one column, in pixels.
const SPACE: i32 = 14;
/// The height of the place of an arrow that passes a column, in pixels.
const PASS_HEIGHT: i32 = 6;
/// How many rounds improve the order, and how many improve the heights.
const ROUNDS: usize = 8;
/// The width of rows of boxes without arrows, in pixels, or the width of the picture if that is more.
const ROW_WIDTH: i32 = 900;

/// The size of something, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: i32,
    pub(crate) height: i32,
}

/// The area of something, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Area {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) right: i32,
    pub(crate) bottom: i32,
}

/// An arrow between boxes, with room for its label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) label: Size,
}

/// The result of the layout.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// The areas of the boxes, in the order in which the boxes were given.
    pub(crate) boxes: Vec<Area>,
    /// The routes of the arrows, in the order in which the arrows were given.
    pub(crate) routes: Vec<Route>,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

/// The route of an arrow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Route {
    /// The points from the box it leaves to the box it leads to. Between two points of the same height the line is
    /// straight.
    pub(crate) points: Vec<(i32, i32)>,
    pub(crate) label: Area,
}

/// Something that has a place in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Box(usize),
    Label(usize),
    Pass(usize),
}

#[derive(Debug)]
struct LayoutCell {
    item: Item,
    size: Size,
    column: usize,
    /// The places in the neighbouring columns to which it is connected.
    before: Vec<usize>,
    after: Vec<usize>,
    top: i32,
}

impl Area {
    fn new(left: i32, top: i32, size: Size) -> Self {
        Self { left, top, right: left + size.width, bottom: top + size.height }
    }

    pub(crate) fn middle(&self) -> i32 {
        i32::midpoint(self.top, self.bottom)
    }
}

/// Lays boxes and arrows out. An arrow from a box to itself, or to no box, has no route.
pub(crate) fn lay(boxes: &[Size], arrows: &[Arrow]) -> Layout {
    let known = |arrow: &Arrow| arrow.from != arrow.to && arrow.from < boxes.len() && arrow.to < boxes.len();
    let forward: Vec<Option<(usize, usize)>> = {
        let turned = cycles(boxes.len(), arrows);
        let one = |(arrow, turned): (&Arrow, bool)| {
            known(arrow).then_some(if turned { (arrow.to, arrow.from) } else { (arrow.from, arrow.to) })
        };
        arrows.iter().zip(turned).map(one).collect()
    };
    let layers = layers(boxes.len(), &forward);
    let mut places = places(boxes, arrows, &forward, &layers);
    let mut columns = columns(&places);
    order(&mut places, &mut columns);
    heights(&mut places, &columns);
    drawn(boxes, arrows, &forward, &places, &columns)
}

/// Returns which arrows have to be reversed so that no cycle is left: those that lead back in a depth-first walk.
fn cycles(count: usize, arrows: &[Arrow]) -> Vec<bool> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (at, arrow) in arrows.iter().enumerate() {
        if let Some(out) = out.get_mut(arrow.from) {
            out.push(at);
        }
    }
    #[derive(Clone, Copy, PartialEq)]
    enum VisitState {
        Done,
        No,
        Open,
    }
    let mut seen = vec![VisitState::No; count];
    let mut turned = vec![false; arrows.len()];
    for start in 0..count {
        if seen.get(start) != Some(&VisitState::No) {
            continue;
        }
        let mut walk = vec![(start, 0)];
        while let Some((at, next)) = walk.pop() {
            if let Some(seen) = seen.get_mut(at) {
                *seen = VisitState::Open;
            }
            let Some(arrow) = out.get(at).and_then(|out| out.get(next)).copied() else {
                if let Some(seen) = seen.get_mut(at) {
                    *seen = VisitState::Done;
                }
                continue;
            };
            walk.push((at, next + 1));
            let Some(to) = arrows.get(arrow).map(|arrow| arrow.to) else { continue };
            match seen.get(to) {
                Some(VisitState::Open) => {
                    if let Some(turned) = turned.get_mut(arrow) {
                        *turned = true;
                    }
                }
                Some(VisitState::No) => walk.push((to, 0)),
                Some(VisitState::Done) | None => {}
            }
        }
    }
    turned
}

/// Returns the layer of each box: after all boxes that lead to it, and as far left as possible.
fn layers(count: usize, arrows: &[Option<(usize, usize)>]) -> Vec<Option<usize>> {
    let mut waits = vec![0_usize; count];
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in arrows.iter().flatten() {
        if let (Some(out), Some(waits)) = (out.get_mut(*from), waits.get_mut(*to)) {
            out.push(*to);
            *waits += 1;
        }
    }
    let begins: Vec<bool> = waits.iter().map(|waits| *waits == 0).collect();
    let mut layers = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|at| begins.get(*at) == Some(&true)).collect();
    let mut at = 0;
    while let Some(from) = ready.get(at).copied() {
        at += 1;
        let layer = layers.get(from).copied().unwrap_or(0);
        for to in out.get(from).into_iter().flatten() {
            if let (Some(there), Some(waits)) = (layers.get_mut(*to), waits.get_mut(*to)) {
                *there = (layer + 1).max(*there);
                *waits -= 1;
                if *waits == 0 {
                    ready.push(*to);
                }
            }
        }
    }
    // A box without incoming arrows stands just before the boxes that its own arrows lead to.
    let near =
        |at: usize| out.get(at).into_iter().flatten().filter_map(|to| layers.get(*to)).min().map(|layer| layer - 1);
    (0..count)
        .map(|at| {
            let alone = begins.get(at) == Some(&true) && out.get(at).is_none_or(Vec::is_empty);
            let layer = layers.get(at).copied().unwrap_or(0);
            if alone {
                None
            } else {
                Some(if begins.get(at) == Some(&true) { near(at).unwrap_or(layer) } else { layer })
            }
        })
        .collect()
}

/// Returns a place for every box, for every label, and for every column that an arrow passes. Boxes are in even
/// columns.
fn places(
    boxes: &[Size],
    arrows: &[Arrow],
    forward: &[Option<(usize, usize)>],
    layers: &[Option<usize>],
) -> Vec<LayoutCell> {
    let mut places: Vec<LayoutCell> = Vec::new();
    let mut home: BTreeMap<usize, usize> = BTreeMap::new();
    let place = |item: Item, size: Size, column: usize| LayoutCell {
        item,
        size,
        column,
        before: Vec::new(),
        after: Vec::new(),
        top: 0,
    };
    for (at, (size, layer)) in boxes.iter().zip(layers).enumerate() {
        if let Some(layer) = layer {
            home.insert(at, places.len());
            places.push(place(Item::Box(at), *size, 2 * layer));
        }
    }
    for (at, (arrow, ends)) in arrows.iter().zip(forward).enumerate() {
        let Some((from, to)) = ends else { continue };
        let (Some(first), Some(last)) = (home.get(from).copied(), home.get(to).copied()) else { continue };
        let columns = |index: usize| places.get(index).map_or(0, |place| place.column);
        let (begin, end) = (columns(first), columns(last));
        let mut before = first;
        for column in begin + 1..=end {
            let here = if column == end {
                last
            } else if column == begin + 1 {
                places.push(place(Item::Label(at), arrow.label, column));
                places.len() - 1
            } else {
                places.push(place(Item::Pass(at), Size { width: 0, height: PASS_HEIGHT }, column));
                places.len() - 1
            };
            if let Some(place) = places.get_mut(before) {
                place.after.push(here);
            }
            if let Some(place) = places.get_mut(here) {
                place.before.push(before);
            }
            before = here;
        }
    }
    places
}

fn columns(places: &[LayoutCell]) -> Vec<Vec<usize>> {
    let count = places.iter().map(|place| place.column + 1).max().unwrap_or(0);
    let mut columns = vec![Vec::new(); count];
    for (at, place) in places.iter().enumerate() {
        if let Some(column) = columns.get_mut(place.column) {
            column.push(at);
        }
    }
    columns
}

/// Orders each column by the positions of the neighbours of its places, forwards and backwards.
fn order(places: &mut [LayoutCell], columns: &mut [Vec<usize>]) {
    let mut rank: Vec<usize> = vec![0; places.len()];
    let renew = |rank: &mut Vec<usize>, column: &[usize]| {
        for (at, place) in column.iter().enumerate() {
            if let Some(rank) = rank.get_mut(*place) {
                *rank = at;
            }
        }
    };
    for column in columns.iter() {
        renew(&mut rank, column);
    }
    for round in 0..ROUNDS {
        let back = round % 2 == 1;
        let count = columns.len();
        for step in 0..count {
            let at = if back { count - 1 - step } else { step };
            let Some(column) = columns.get_mut(at) else { continue };
            column.sort_by_key(|index| {
                let ties = places.get(*index).map(|place| if back { &place.after } else { &place.before });
                let ties = ties.into_iter().flatten().filter_map(|tie| rank.get(*tie)).map(|rank| *rank * 1_000);
                let (sum, count) = ties.fold((0, 0), |(sum, count), rank| (sum + rank, count + 1));
                let own = rank.get(*index).copied().unwrap_or(0);
                (sum.checked_div(count).unwrap_or(own * 1_000), own)
            });
            renew(&mut rank, column);
        }
    }
}

/// Moves each cell as near to the height of its neighbours as the cells above and below allow.
fn heights(places: &mut [LayoutCell], columns: &[Vec<usize>]) {
    for column in columns {
        let mut next = 0;
        for at in column {
            if let Some(place) = places.get_mut(*at) {
                place.top = next;
                next += place.size.height + SPACE;
            }
        }
    }
    for round in 0..2 * ROUNDS {
        let back = round % 2 == 1;
        for step in 0..columns.len() {
            let at = if back { columns.len() - 1 - step } else { step };
            let Some(column) = columns.get(at) else { continue };
            let wanted: Vec<i32> = column.iter().map(|at| wanted(places, *at, back)).collect();
            settle(places, column, &wanted);
        }
    }
}

fn wanted(places: &[LayoutCell], at: usize, back: bool) -> i32 {
    let Some(place) = places.get(at) else { return 0 };
    let ties = if back { &place.after } else { &place.before };
    let ties = if ties.is_empty() { if back { &place.before } else { &place.after } } else { ties };
    let mut middles: Vec<i32> =
        ties.iter().filter_map(|tie| places.get(*tie)).map(|tie| tie.top + tie.size.height / 2).collect();
    middles.sort_unstable();
    middles.get(middles.len() / 2).map_or(place.top, |middle| middle - place.size.height / 2)
}

/// Puts the cells of a column as near to their wanted heights as possible, in their order. Cells that collide are moved
/// together as one block, to the mean of their wanted heights.
fn settle(places: &mut [LayoutCell], column: &[usize], wanted: &[i32]) {
    // Of each block: the first place, the end, the sum of the wanted tops, and the number of cells.
    let mut blocks: Vec<(i64, i64, i64, i64)> = Vec::new();
    let mut sizes: Vec<usize> = Vec::new();
    for (at, want) in column.iter().zip(wanted) {
        let height = places.get(*at).map_or(0, |place| i64::from(place.size.height + SPACE));
        let mut block = (i64::from(*want), height, i64::from(*want), 1);
        let mut size = 1;
        while let Some(above) = blocks.last().copied() {
            if above.0 + above.1 <= block.0 {
                break;
            }
            blocks.pop();
            size += sizes.pop().unwrap_or(0);
            // The cells of the lower block want its top, minus the heights of the cells that are above them now.
            let sum = above.2 + block.2 - block.3 * above.1;
            let count = above.3 + block.3;
            block = (sum.div_euclid(count), above.1 + block.1, sum, count);
        }
        blocks.push(block);
        sizes.push(size);
    }
    let mut members = column.iter();
    for (block, size) in blocks.iter().zip(sizes) {
        let mut top = i32::try_from(block.0).unwrap_or(0);
        for at in members.by_ref().take(size) {
            if let Some(place) = places.get_mut(*at) {
                place.top = top;
                top += place.size.height + SPACE;
            }
        }
    }
}

fn drawn(
    boxes: &[Size],
    arrows: &[Arrow],
    forward: &[Option<(usize, usize)>],
    places: &[LayoutCell],
    columns: &[Vec<usize>],
) -> Layout {
    let mut layout = Layout {
        boxes: vec![Area::default(); boxes.len()],
        routes: vec![Route::default(); arrows.len()],
        width: 0,
        height: 0,
    };
    let top = places.iter().map(|place| place.top).min().unwrap_or(0);
    let mut left = 0;
    // By arrow: the height and both sides of every column that it passes.
    let mut passed: Vec<Vec<(i32, i32, i32)>> = vec![Vec::new(); arrows.len()];
    for column in columns {
        let here = || column.iter().filter_map(|at| places.get(*at));
        let width = here().map(|place| place.size.width).max().unwrap_or(0);
        for place in here() {
            let area = Area::new(left, place.top - top, place.size);
            layout.height = layout.height.max(area.bottom);
            match place.item {
                Item::Box(at) => {
                    if let Some(own) = layout.boxes.get_mut(at) {
                        *own = area;
                    }
                }
                Item::Label(at) | Item::Pass(at) => {
                    // The line is drawn under its label.
                    let line = if matches!(place.item, Item::Label(_)) { area.bottom } else { area.middle() };
                    if let (Item::Label(_), Some(route)) = (place.item, layout.routes.get_mut(at)) {
                        route.label = area;
                    }
                    if let Some(passed) = passed.get_mut(at) {
                        passed.push((line, left, left + width));
                    }
                }
            }
        }
        left += width + GAP;
    }
    layout.width = (left - GAP).max(0);
    for (at, ends) in forward.iter().enumerate() {
        let Some((from, to)) = ends else { continue };
        let (Some(begin), Some(end)) = (layout.boxes.get(*from), layout.boxes.get(*to)) else { continue };
        let mut points = vec![(begin.right, begin.middle())];
        // A box may be narrower than its column: the line goes straight on to the column's edge.
        let column = passed.get(at).and_then(|passed| passed.first()).map_or(begin.right, |(_, left, _)| left - GAP);
        points.push((column.max(begin.right), begin.middle()));
        for (line, left, right) in passed.get(at).into_iter().flatten() {
            points.extend([(*left, *line), (*right, *line)]);
        }
        points.push((end.left, end.middle()));
        let turned = arrows.get(at).is_some_and(|arrow| arrow.from != *from);
        if turned {
            points.reverse();
        }
        if let Some(route) = layout.routes.get_mut(at) {
            route.points = points;
        }
    }
    alone(boxes, places, &mut layout);
    layout
}

/// Puts boxes without arrows in rows below the others.
fn alone(boxes: &[Size], places: &[LayoutCell], layout: &mut Layout) {
    let placed: Vec<usize> =
        places.iter().filter_map(|place| if let Item::Box(at) = place.item { Some(at) } else { None }).collect();
    let mut is_placed = vec![false; boxes.len()];
    for at in placed {
        if let Some(placed) = is_placed.get_mut(at) {
            *placed = true;
        }
    }
    let row = layout.width.max(ROW_WIDTH);
    let (mut left, mut top, mut below) = (0, layout.height + if layout.height > 0 { GAP } else { 0 }, 0);
    for (at, size) in boxes.iter().enumerate().filter(|(at, _)| is_placed.get(*at) == Some(&false)) {
        if left > 0 && left + size.width > row {
            (left, top, below) = (0, top + below + SPACE, 0);
        }
        let area = Area::new(left, top, *size);
        if let Some(own) = layout.boxes.get_mut(at) {
            *own = area;
        }
        left += size.width + SPACE;
        below = below.max(size.height);
        layout.width = layout.width.max(area.right);
        layout.height = layout.height.max(area.bottom);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, prop_assert, proptest};

    use super::{Area, Arrow, Layout, Size, lay};

    fn meets(one: &Area, other: &Area) -> bool {
        one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom
    }

    /// Checks what must be true for every layout.
    fn check(boxes: &[Size], arrows: &[Arrow]) -> Result<Layout, String> {
        let layout = lay(boxes, arrows);
        let drawn = layout.routes.iter().filter(|route| !route.points.is_empty());
        let areas: Vec<Area> = layout.boxes.iter().chain(drawn.map(|route| &route.label)).copied().collect();
        for (at, area) in areas.iter().enumerate() {
            if area.left < 0 || area.top < 0 || area.right > layout.width || area.bottom > layout.height {
                return Err(format!("{area:?} leaves {} × {}", layout.width, layout.height));
            }
            if let Some(other) = areas.iter().skip(at + 1).find(|other| meets(area, other)) {
                return Err(format!("{area:?} meets {other:?}"));
            }
        }
        for (arrow, route) in arrows.iter().zip(&layout.routes) {
            let real = arrow.from != arrow.to;
            if real == route.points.is_empty() {
                return Err(format!("{arrow:?} runs {:?}", route.points));
            }
            let Some(((x, y), (to_x, to_y))) = route.points.first().zip(route.points.last()) else { continue };
            let (from, to) = (&layout.boxes[arrow.from], &layout.boxes[arrow.to]);
            let touches = |area: &Area, x: i32, y: i32| (x == area.left || x == area.right) && y == area.middle();
            if !touches(from, *x, *y) || !touches(to, *to_x, *to_y) {
                return Err(format!("{arrow:?} begins or ends in the air: {:?}", route.points));
            }
            // A straight line crosses no box; any other line is between columns.
            for pair in route.points.windows(2) {
                let line = Area {
                    left: pair[0].0.min(pair[1].0),
                    right: pair[0].0.max(pair[1].0),
                    top: pair[0].1.min(pair[1].1),
                    bottom: pair[0].1.max(pair[1].1) + 1,
                };
                if let Some(met) = layout.boxes.iter().find(|area| meets(&line, area)) {
                    return Err(format!("{arrow:?} crosses {met:?}"));
                }
            }
        }
        Ok(layout)
    }

    fn sizes(count: usize) -> Vec<Size> {
        vec![Size { width: 100, height: 40 }; count]
    }

    fn arrow(from: usize, to: usize) -> Arrow {
        Arrow { from, to, label: Size { width: 60, height: 16 } }
    }

    #[test]
    fn a_chain_runs_to_the_right_and_a_cycle_comes_back() {
        let layout = check(&sizes(3), &[arrow(0, 1), arrow(1, 2), arrow(2, 0)]).unwrap();
        assert!(layout.boxes[0].right < layout.boxes[1].left && layout.boxes[1].right < layout.boxes[2].left);
        let back = &layout.routes[2].points;
        assert_eq!((back[0].0, back.last().unwrap().0), (layout.boxes[2].left, layout.boxes[0].right));
    }

    #[test]
    fn what_has_no_arrows_stands_apart() {
        let layout = check(&sizes(30), &[arrow(3, 4)]).unwrap();
        assert!(layout.boxes[0].top > layout.boxes[3].bottom);
        assert!(layout.width <= 1000, "{}", layout.width);
        assert_eq!(check(&[], &[]).unwrap().width, 0);
    }

    fn any_graph() -> impl Strategy<Value = (Vec<Size>, Vec<Arrow>)> {
        let size = (20..220, 20..90).prop_map(|(width, height)| Size { width, height });
        prop::collection::vec(size, 1..30).prop_flat_map(|boxes| {
            let count = boxes.len();
            let arrow = (0..count, 0..count, 10..200).prop_map(|(from, to, width)| Arrow {
                from,
                to,
                label: Size { width, height: 16 },
            });
            (proptest::prelude::Just(boxes), prop::collection::vec(arrow, 0..50))
        })
    }

    proptest! {
        #[test]
        fn nothing_overlaps_whatever_the_graph((boxes, arrows) in any_graph()) {
            let checked = check(&boxes, &arrows);
            prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
        }
    }
}

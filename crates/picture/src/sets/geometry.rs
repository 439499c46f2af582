//! The positions of the circles, the region of a point, and the positions of a region's dots. Only whole numbers are
//! used, so that the figure is the same on every machine.

use super::model::Region;

/// The radius of every circle, in units of the figure.
pub(super) const RADIUS: i32 = 100;
/// The centre of the circle of the rights.
pub(super) const RIGHTS: (i32, i32) = (126, 100);
/// The centre of the circle of the grant.
pub(super) const GRANT: (i32, i32) = (234, 100);
/// The centre of the circle of the need.
pub(super) const NEED: (i32, i32) = (180, 194);
/// The height of the three circles together; their top is at zero.
pub(super) const HEIGHT: i32 = 294;
/// The outline of a need that was not declared: it leaves the figure, and does not enter the two other circles.
pub(super) const OPEN_NEED: &str = "M80.1 188.9C68 216 57 250 52 290M279.9 188.9C292 216 303 250 308 290";

/// The smallest distance of a dot from every outline.
const MARGIN: i32 = 8;
/// The distance between two dots in a row, and between two rows.
const PITCH: (i32, i32) = (11, 9);

/// One region of the figure.
#[derive(Debug)]
pub(super) struct RegionShape {
    pub(super) region: Region,
    /// The middle of the base line of the count's text.
    pub(super) count: (i32, i32),
    /// The position of the dot of the tool in question. From it, a line goes straight up to the verdict.
    pub(super) chosen: (i32, i32),
    /// The outline of the region, as path data.
    pub(super) outline: &'static str,
}

/// A rectangle around something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
}

impl Area {
    /// Returns the rectangle, enlarged by `by` on every side.
    pub(super) fn grown(&self, by: i32) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    fn holds(&self, (x, y): (i32, i32)) -> bool {
        self.left <= x && x <= self.right && self.top <= y && y <= self.bottom
    }
}

/// Returns the regions in the order in which they are listed: permitted tools first.
pub(super) fn places(need_declared: bool) -> &'static [RegionShape] {
    if need_declared { &OF_THREE } else { &OF_TWO }
}

const fn region(rights: bool, grant: bool, need: bool) -> Region {
    Region { rights, grant, need }
}

static OF_THREE: [RegionShape; 8] = [
    RegionShape {
        region: region(true, true, true),
        count: (180, 116),
        chosen: (206, 120),
        outline: "M134.1 105.1A100 100 0 0 1 225.9 105.1A100 100 0 0 1 180 184.2A100 100 0 0 1 134.1 105.1Z",
    },
    RegionShape {
        region: region(true, true, false),
        count: (180, 58),
        chosen: (204, 66),
        outline: "M180 15.8A100 100 0 0 1 225.9 105.1A100 100 0 0 0 134.1 105.1A100 100 0 0 1 180 15.8Z",
    },
    RegionShape {
        region: region(true, false, true),
        count: (104, 166),
        chosen: (124, 154),
        outline: "M80.1 188.9A100 100 0 0 1 134.1 105.1A100 100 0 0 0 180 184.2A100 100 0 0 1 80.1 188.9Z",
    },
    RegionShape {
        region: region(false, true, true),
        count: (256, 166),
        chosen: (236, 154),
        outline: "M225.9 105.1A100 100 0 0 1 279.9 188.9A100 100 0 0 1 180 184.2A100 100 0 0 0 225.9 105.1Z",
    },
    RegionShape {
        region: region(true, false, false),
        count: (80, 82),
        chosen: (118, 84),
        outline: "M180 15.8A100 100 0 1 0 80.1 188.9A100 100 0 0 1 134.1 105.1A100 100 0 0 1 180 15.8Z",
    },
    RegionShape {
        region: region(false, true, false),
        count: (280, 82),
        chosen: (242, 84),
        outline: "M180 15.8A100 100 0 1 1 279.9 188.9A100 100 0 0 0 225.9 105.1A100 100 0 0 0 180 15.8Z",
    },
    RegionShape {
        region: region(false, false, true),
        count: (180, 226),
        chosen: (204, 232),
        outline: "M80.1 188.9A100 100 0 1 0 279.9 188.9A100 100 0 0 1 180 184.2A100 100 0 0 1 80.1 188.9Z",
    },
    RegionShape { region: region(false, false, false), count: (42, 216), chosen: (17, 226), outline: "" },
];

static OF_TWO: [RegionShape; 4] = [
    RegionShape {
        region: region(true, true, false),
        count: (180, 82),
        chosen: (204, 92),
        outline: "M180 15.8A100 100 0 0 1 180 184.2A100 100 0 0 1 180 15.8Z",
    },
    RegionShape {
        region: region(true, false, false),
        count: (80, 92),
        chosen: (118, 94),
        outline: "M180 15.8A100 100 0 1 0 180 184.2A100 100 0 0 1 180 15.8Z",
    },
    RegionShape {
        region: region(false, true, false),
        count: (280, 92),
        chosen: (242, 94),
        outline: "M180 15.8A100 100 0 1 1 180 184.2A100 100 0 0 0 180 15.8Z",
    },
    RegionShape { region: region(false, false, false), count: (32, 214), chosen: (17, 226), outline: "" },
];

/// Returns points for at most `count` dots of a region, away from every outline and every area to avoid. Points below
/// the count come first. There are fewer if there is no more room.
pub(super) fn points(place: &RegionShape, need_declared: bool, avoid: &[Area], count: usize) -> Vec<(i32, i32)> {
    let (middle, top) = (place.count.0, place.count.1 + 14);
    let mut found: Vec<(i32, i32)> = Vec::new();
    for row in -30..30 {
        let y = top + row * PITCH.1;
        let shift = if row % 2 == 0 { 0 } else { PITCH.0 / 2 };
        for column in -30..30 {
            let point = (middle + shift + column * PITCH.0, y);
            if is_well_inside(place.region, point, need_declared) && !avoid.iter().any(|area| area.holds(point)) {
                found.push(point);
            }
        }
    }
    found.sort_by_key(|&(x, y)| {
        let (dx, dy) = (x - middle, y - top);
        // Points above the count are used only if there is no room below it.
        (dx * dx + if dy < 0 { 9 * (dy - 10) * (dy - 10) } else { dy * dy }, y, x)
    });
    found.truncate(count);
    found
}

/// Whether a dot at this point is inside exactly the sets of the region, and within the figure.
pub(super) fn is_well_inside(region: Region, point: (i32, i32), need_declared: bool) -> bool {
    let sets = [(RIGHTS, region.rights), (GRANT, region.grant), (NEED, region.need)];
    let circles = if need_declared { 3 } else { 2 };
    let stands = sets.iter().take(circles).all(|&((x, y), inside)| {
        let squared = (point.0 - x) * (point.0 - x) + (point.1 - y) * (point.1 - y);
        let reach = if inside { RADIUS - MARGIN } else { RADIUS + MARGIN };
        if inside { squared <= reach * reach } else { squared >= reach * reach }
    });
    if region.rights || region.grant || region.need {
        return stands;
    }
    // Outside all sets, there is room in one corner.
    stands && (16..=72).contains(&point.0) && (150..=HEIGHT - 8).contains(&point.1) && (need_declared || point.0 <= 44)
}

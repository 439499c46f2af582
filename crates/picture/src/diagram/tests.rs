use proptest::prelude::{Strategy, any, prop, prop_assert, proptest};
use sekisho_protocol::diagram::{Arrow, Diagram, Node, OutsideDocument, Reference, Relation, RelationCounts};

use super::{svg, to_dot, to_mermaid, to_svg};

/// Returns a node that has a box and no parent.
fn node(title: &str) -> Node {
    Node { title: title.to_owned(), has_box: true, ..Node::default() }
}

fn arrow(from: usize, to: usize, relation: Relation) -> Arrow {
    let mut counts = RelationCounts::default();
    counts.add(relation, 1);
    Arrow { from, to, counts, ..Arrow::default() }
}

fn any_diagram() -> impl Strategy<Value = Diagram> {
    let name = || prop::collection::vec(any::<char>(), 0..300).prop_map(|all| all.into_iter().collect::<String>());
    let kinds = [Relation::Links, Relation::Requires, Relation::Then, Relation::Uses];
    let nodes = prop::collection::vec((name(), 0_usize..3), 1..12);
    let arrows = prop::collection::vec((0_usize..12, 0_usize..12, prop::sample::select(kinds.to_vec()), name()), 0..12);
    (nodes, arrows, name(), name()).prop_map(|(nodes, arrows, outside, note)| {
        let count = nodes.len();
        let nodes = nodes.into_iter().map(|(title, folded)| Node { folded, ..node(&title) }).collect();
        let arrows = arrows
            .into_iter()
            .map(|(from, to, relation, term)| Arrow { terms: vec![term], ..arrow(from % count, to % count, relation) });
        let references = vec![Reference { from: 0, count: 2 }];
        let outside = vec![OutsideDocument { label: outside, references }];
        Diagram { nodes, arrows: arrows.collect(), outside, note, focus: Some(0), lines_max: 50, ..Diagram::default() }
    })
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]

    /// Whatever the names are, each text fits into its area, and each format stays valid.
    #[test]
    fn every_text_has_its_room_and_no_name_is_markup(diagram in any_diagram()) {
        for (width, area) in svg::figure(&diagram).texts() {
            prop_assert!(width <= area.right - area.left, "a text of {width} in {area:?}");
        }
        let mermaid = to_mermaid(&diagram);
        for line in mermaid.lines().filter(|line| line.contains('"')) {
            prop_assert!(line.matches('"').count() == 2, "not one quoted label: {line}");
        }
        let dot = to_dot(&diagram).replace("\\\\", "").replace("\\\"", "");
        for line in dot.lines() {
            prop_assert!(line.matches('"').count() % 2 == 0, "not quoted: {line}");
        }
        let svg = to_svg(&diagram);
        prop_assert!(svg.matches("<text").count() == svg.matches("</text>").count(), "{svg}");
    }
}

#[test]
fn a_requirement_is_thick_and_a_use_is_dotted() {
    let arrows = vec![arrow(0, 1, Relation::Requires), arrow(1, 2, Relation::Uses), arrow(0, 2, Relation::Links)];
    let nodes = ["One", "Two", "Three"].map(node).to_vec();
    let diagram = Diagram { nodes, arrows, lines_max: 50, ..Diagram::default() };
    let mermaid = to_mermaid(&diagram);
    for line in ["s0 ==>|\"requires\"| s1", "s1 -.->|\"uses\"| s2", "s0 -->|\"links\"| s2"] {
        assert!(mermaid.contains(line), "{line} in {mermaid}");
    }
    let dot = to_dot(&diagram);
    assert!(dot.contains("s0 -> s1 [label=\"requires\", style=bold]"), "{dot}");
    assert!(dot.contains("s1 -> s2 [label=\"uses\", style=dotted]"), "{dot}");
}

#[test]
fn what_holds_others_is_drawn_around_them() {
    let around = Node { has_children: true, has_box: false, ..node("Around") };
    let inside = Node { parent: Some(0), ..node("Inside") };
    let diagram = Diagram { nodes: vec![around, inside, node("Beside")], lines_max: 50, ..Diagram::default() };
    let mermaid = to_mermaid(&diagram);
    let expected = "  subgraph g0[\"Around\"]\n    s1[\"Inside\"]\n  end\n  s2[\"Beside\"]\n";
    assert!(mermaid.contains(expected), "{mermaid}");
    assert!(to_svg(&diagram).contains("in Around"));
}

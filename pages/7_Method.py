"""Method: how every number on the other pages is computed, and where methods and photos come from."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Method")  # the imports below take seconds the first time

import streamlit as st

from explorer import CAM_METHODS, POOLINGS
from explorer.sections.nodes import el
from explorer.ui.components.board import board
from explorer.ui.frame import frame
from explorer.ui.pages.method import licences, method_table, words

page = frame("Method")


def show() -> None:
    network = page.analysis.network
    plural = "values" if network.number == "value" else "logits"
    board(
        el(
            "div",
            el("h1", f"How a {network.number} is decomposed"),
            el("p", "The network is one chain: frame the photo, run the backbone, pool its feature maps, run the head.",
               class_="lead"),
            class_="headline",
        ),
        key="method_title",
    )
    st.latex(rf"\mathrm{{{plural}}} = "
             r"\mathrm{head}(\mathrm{pooling}(\mathrm{backbone}(\mathrm{frame}(\mathrm{photo}))))")
    st.markdown(
        "Every pooling also gives weights $w$ with $\\sum_{ij} w_{kij} F_{kij} = y_k$, and an affine head a slope "
        "$A_{ck}$ for each channel. So the evidence of position $(i, j)$ for class $c$ is"
    )
    st.latex(r"E_{ij} = \sum_k A_{ck}\, w_{kij} F_{kij}, \qquad "
             rf"\mathrm{{{network.number}}}_c" r" = \mathrm{baseline}_c + \sum_{ij} E_{ij}")
    st.markdown(
        f"in {network.unit}, signed, from one forward pass. What the two sides differ by is computed and shown as the "
        "residual: rounding alone where the parts are an identity (*exact*), the error of a quadrature for LSE and for "
        "heads that are not affine (*integrated*)."
    )
    words(network.number)
    method_table("Poolings", (network.poolings or POOLINGS).values())
    method_table("Class activation maps", CAM_METHODS.values())
    with st.expander("Where the network and the example photos come from"):
        st.markdown(licences())


page.show(show)

"""The app's own Streamlit components: boards, viewer, wall and slider, with their JavaScript."""

"""An analysis as one HTML file that reads without a server, a network connection or a script."""

from explorer.report.page import POLICY, report_html

__all__ = ["POLICY", "report_html"]

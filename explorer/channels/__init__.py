"""The channels of the feature maps: ranked by what they do, counted by kind, and one of them in full."""

from explorer.channels.card import ChannelCard, ClassWeight, PooledUnder, channel_card, plain_channel_card
from explorer.channels.table import (
    KINDS,
    RANKINGS,
    Carrying,
    ChannelTable,
    Ranking,
    channel_table,
    plain_channel_table,
)

__all__ = [
    "KINDS", "RANKINGS", "Carrying", "ChannelCard", "ChannelTable", "ClassWeight", "PooledUnder", "Ranking",
    "channel_card", "channel_table", "plain_channel_card", "plain_channel_table",
]

"""Names of event types: one spelling for each, and which of them have a meaning."""

import re
from functools import lru_cache

KNOWN_TYPES = frozenset(
    {
        # Browsing
        "product_searched",
        "product_list_viewed",
        "product_list_filtered",
        "promotion_viewed",
        "promotion_clicked",
        "product_clicked",
        "product_viewed",
        # Ordering
        "product_added",
        "product_removed",
        "cart_viewed",
        "checkout_started",
        "checkout_step_viewed",
        "checkout_step_completed",
        "payment_info_entered",
        "order_updated",
        "order_completed",
        "order_refunded",
        "order_cancelled",
        # Coupons
        "coupon_entered",
        "coupon_applied",
        "coupon_denied",
        "coupon_removed",
        "coupon_redeemed",
        # Wishlist, sharing, reviewing
        "product_added_to_wishlist",
        "product_removed_from_wishlist",
        "wishlist_product_added_to_cart",
        "product_shared",
        "cart_shared",
        "product_reviewed",
        # Beyond the shop
        "page_viewed",
        "screen_viewed",
        "application_opened",
        "email_delivered",
        "email_opened",
        "email_clicked",
        "email_bounced",
        "email_unsubscribed",
        "campaign_received",
        "support_contacted",
        "signed_up",
        "signed_in",
        "signed_out",
        "identify",
    }
)
"""Events of Segment's e-commerce and email specs, and a few more; any other is mere activity."""

SYNONYMS = {
    "page": "page_viewed",
    "screen": "screen_viewed",
    "email_link_clicked": "email_clicked",
    "unsubscribed": "email_unsubscribed",
    "account_created": "signed_up",
    "order_canceled": "order_cancelled",
}

RESERVED_TYPES = frozenset({"alias", "merge", "consent", "erase"})
"""Kinds of message that will not be behaviour; until they are built they are refused."""

_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAPS = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def type_name(name: str) -> str:
    """The one spelling of a type, in snake_case; empty where `name` has no letter or digit.

    >>> [type_name(name) for name in ("Order Completed", "orderCompleted", "order-completed")]
    ['order_completed', 'order_completed', 'order_completed']
    >>> type_name("Email Link Clicked")
    'email_clicked'
    """
    snake = _GAPS.sub("_", _WORD_STARTS.sub("_", name).lower()).strip("_")
    return SYNONYMS.get(snake, snake)

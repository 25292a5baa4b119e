"""The reference for reads: any request answered in plain Python, from plain rows.

What the contract says of visibility, filters, orders, pages, cursors and refusals is written here a
second time, as directly as it can be said, and shares neither SQL nor planning with the product:
whoever doubts an answer reads here what it should be. graphql-core's own executor walks a GraphQL
operation over plain objects, field by field.
"""

# SPDX-License-Identifier: BSD-2-Clause
"""A laboratory for sluice: machines as namespaces, a small network between them, real daemons."""

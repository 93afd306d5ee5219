# SPDX-License-Identifier: Apache-2.0
"""Loss-aware quantization: codes and scales that least raise a quadratic model of the loss.

L. Hou and J. T. Kwok, "Loss-aware weight quantization of deep networks", ICLR 2018, arXiv
1802.08635; binary codes: L. Hou, Q. Yao and J. T. Kwok, ICLR 2017, arXiv 1611.01600.
"""

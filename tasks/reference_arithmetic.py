"""What the references derive from their own figures, by task: each claim with the figures that it follows from."""

from __future__ import annotations

from densedistill.distill.arithmetic import Claim, bridged, difference, growth, reduction, same, share, times

SUPER_RESOLUTION_CLAIMS = (
    Claim(
        reference="003",
        where="section 5.1.7",
        says="the super-resolution student bridges 86 % of the gap",
        stated="86",
        formula=bridged,
        parts=("25.79", "23.02", "27.26"),
    ),
    Claim(
        reference="003",
        where="section 5.1.7",
        says="distillation gains 2.76 dB",
        stated="2.76",
        formula=difference,
        parts=("25.79", "23.02"),
        unit="dB",
    ),
)

CLASSIFICATION_CLAIMS = (
    Claim(
        reference="003",
        where="section 8",
        says="the classification student has 73 % fewer parameters",
        stated="73",
        formula=reduction,
        parts=("44.5", "3.5"),
        note="The same report calls it 12.7 times smaller, which is 92 % fewer; 73 % fewer would be 3.7 times.",
    ),
    Claim(
        reference="003",
        where="section 4.3",
        says="MobileNetV2 is 12.7 times smaller than ResNet101",
        stated="12.7",
        formula=times,
        parts=("44.5", "3.5"),
        unit="×",
    ),
    Claim(
        reference="003",
        where="sections 4.3 and 6.4",
        says="one network, MobileNetV2 for 100 classes, is given 3.5 M parameters and 2.35 M",
        stated="0",
        formula=same,
        parts=("3.5", "2.35"),
        unit="M",
        note="3.5 M is the network with its 1000 ImageNet classes, 2.35 M with 100.",
    ),
    Claim(
        reference="003",
        where="section 6.4",
        says="generation 2 is 19 times smaller",
        stated="19",
        formula=times,
        parts=("44.5", "2.35"),
        unit="×",
    ),
    Claim(
        reference="003",
        where="section 6.4",
        says="generation 2 bridges 86 % of the gap between untrained networks (chance, 1 %) and its teacher",
        stated="86",
        formula=bridged,
        parts=("69.02", "1", "79.91"),
    ),
    Claim(
        reference="003",
        where="section 6.7",
        says="generation 3 is 54.2 times smaller",
        stated="54.2",
        formula=times,
        parts=("44.5", "0.82"),
        unit="×",
    ),
    Claim(
        reference="000",
        where="section 1",
        says="v4 keeps 92.35 % of its teacher",
        stated="92.35",
        formula=share,
        parts=("77.93", "84.39"),
    ),
    Claim(
        reference="000",
        where="section 1",
        says="92.35 % is called the highest retention, and its own table has 99.40 % for v2",
        stated="0",
        formula=same,
        parts=("92.35", "99.40"),
        note="The highest accuracy is v4's; the highest retention is v2's.",
    ),
    Claim(
        reference="000",
        where="section 4.3",
        says="22.5 % of the teacher's gain reaches the student",
        stated="22.5",
        formula=share,
        parts=("1.74", "7.74"),
    ),
    Claim(
        reference="001",
        where="section 5.3",
        says="the gap to the teacher shrinks by 54 %",
        stated="54",
        formula=reduction,
        parts=("3.39", "1.55"),
    ),
    Claim(
        reference="002",
        where="table 2",
        says="one setting, T 10 and α 0.1, is listed with 64.48 % and with 60.95 %",
        stated="0",
        formula=same,
        parts=("64.48", "60.95"),
    ),
)

EDGE_CLAIMS = (
    Claim(
        reference="003",
        where="section 5.2.8",
        says="the distilled edge student keeps 99.4 % of its teacher",
        stated="99.4",
        formula=share,
        parts=("0.7226", "0.7270"),
    ),
    Claim(
        reference="003",
        where="section 5.2.8",
        says="the distilled edge student is 2.54 % better than scratch",
        stated="2.54",
        formula=growth,
        parts=("0.7226", "0.7047"),
    ),
)

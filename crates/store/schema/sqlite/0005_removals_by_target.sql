-- When an object goes, so does what was to be taken away from others because of it. Only removals: those who are to be
-- given a link are found by the links of the metaverse, and a first load need not keep an index for them.
CREATE INDEX export_link_removals ON export_link (target, owner, attribute) WHERE adds = 0;

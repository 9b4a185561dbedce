-- The Main Galaxy Sample with its photometry and the MPA-JHU measurements: one row a spectrum.
-- The same text for SDSS data releases 8 to 17. Names after an at sign are settings, and columns of
-- the survey's bands, put in by `mgsflow sql` (the whole query, for CasJobs) and `mgsflow query-sdss`
-- (chunk by chunk).
--
-- The cuts here only bound what is downloaded; `mgsflow select` makes the exact ones and counts
-- each. SkyServer refuses a query string above 2048 characters: hence the short aliases.
SELECT
    p.objid, s.specobjid, p.ra, p.dec, s.ra AS fiber_ra, s.dec AS fiber_dec,
    p.run, p.rerun, p.camcol, p.field,
    s.class, s.z, s.zErr, s.zWarning, s.legacyPrimary, s.legacy_target1,
    p.clean, p.petroMag_r, p.petroR50_r, p.petroR90_r,
    @magnitudes,
    @magnitude_errors,
    @extinctions,
    i.v_disp, i.v_disp_err, i.reliable,
    e.lgm_tot_p50, e.lgm_tot_p16, e.lgm_tot_p84, e.sfr_tot_p50, e.sfr_tot_p16, e.sfr_tot_p84,
    e.oh_p50, e.oh_p16, e.oh_p84, e.bptclass,
    l.h_alpha_flux, l.h_alpha_flux_err, l.h_beta_flux, l.h_beta_flux_err,
    l.nii_6584_flux, l.nii_6584_flux_err, l.oiii_5007_flux, l.oiii_5007_flux_err
-- SpecObjAll, not SpecObj: where BOSS took a second spectrum, that one is the science primary, and
-- it has no row in the MPA-JHU tables. legacyPrimary is the best spectrum of the legacy survey.
FROM SpecObjAll AS s
-- PhotoPrimary leaves out secondary detections, and spectra without an object (bestObjID 0).
JOIN PhotoPrimary AS p ON p.objid = s.bestObjID
LEFT JOIN galSpecInfo AS i ON i.specobjid = s.specobjid
LEFT JOIN galSpecExtra AS e ON e.specobjid = s.specobjid
LEFT JOIN galSpecLine AS l ON l.specobjid = s.specobjid
WHERE s.z BETWEEN @redshift_min AND @redshift_max
AND (s.legacyPrimary = 1 OR @legacy_primary = 0)
AND ((s.legacy_target1 & @target_bits) <> 0 OR @target_bits = 0)
-- Where reliable measurements are asked for, spectra without any need not come.
AND (i.reliable IS NOT NULL OR @reliable = 0)

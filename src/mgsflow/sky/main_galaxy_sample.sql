-- The Main Galaxy Sample with MPA-JHU's measurements, one row a spectrum, in chunks of specObjID.
-- The cuts here are coarse, to bound what is downloaded; `mgsflow select` makes the exact ones.
-- legacyPrimary, not sciencePrimary: a later BOSS spectrum of a galaxy has no galSpec row.
SELECT TOP {rows}
    p.objID AS objid, s.specObjID AS specobjid,
    p.ra AS ra, p.dec AS dec,
    p.run AS run, p.rerun AS rerun, p.camcol AS camcol, p.field AS field,
    s.class AS class, s.z AS z, s.zErr AS zErr, s.zWarning AS zWarning,
    s.legacyPrimary AS legacyPrimary, s.legacy_target1 AS legacy_target1, p.clean AS clean,
    p.petroMag_r AS petroMag_r, p.petroR50_r AS petroR50_r, p.petroR90_r AS petroR90_r,
    p.modelMag_u AS modelMag_u, p.modelMag_g AS modelMag_g, p.modelMag_r AS modelMag_r,
    p.modelMag_i AS modelMag_i, p.modelMag_z AS modelMag_z,
    p.modelMagErr_u AS modelMagErr_u, p.modelMagErr_g AS modelMagErr_g,
    p.modelMagErr_r AS modelMagErr_r, p.modelMagErr_i AS modelMagErr_i,
    p.modelMagErr_z AS modelMagErr_z,
    p.extinction_u AS extinction_u, p.extinction_g AS extinction_g,
    p.extinction_r AS extinction_r, p.extinction_i AS extinction_i, p.extinction_z AS extinction_z,
    i.v_disp AS v_disp, i.v_disp_err AS v_disp_err, i.reliable AS reliable,
    e.lgm_tot_p50 AS lgm_tot_p50, e.sfr_tot_p50 AS sfr_tot_p50, e.oh_p50 AS oh_p50,
    e.bptclass AS bptclass,
    l.h_alpha_flux AS h_alpha_flux, l.h_alpha_flux_err AS h_alpha_flux_err,
    l.h_beta_flux AS h_beta_flux, l.h_beta_flux_err AS h_beta_flux_err,
    l.nii_6584_flux AS nii_6584_flux, l.nii_6584_flux_err AS nii_6584_flux_err,
    l.oiii_5007_flux AS oiii_5007_flux, l.oiii_5007_flux_err AS oiii_5007_flux_err
FROM SpecObjAll AS s
    JOIN PhotoPrimary AS p ON p.objID = s.bestObjID
    JOIN galSpecInfo AS i ON i.specObjID = s.specObjID
    JOIN galSpecExtra AS e ON e.specObjID = s.specObjID
    JOIN galSpecLine AS l ON l.specObjID = s.specObjID
WHERE s.specObjID > {after}
    AND s.bestObjID <> 0
    AND s.legacyPrimary = 1
    AND s.class = 'GALAXY'
    AND (s.legacy_target1 & (64 | 128 | 256)) <> 0
    AND s.z BETWEEN {redshift_min} AND {redshift_max}
ORDER BY s.specObjID

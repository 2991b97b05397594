"""What may stand in a .win file: keywords and blocks of wannier90.x and postw90.x (version 3.1 and later)."""

_BLOCKS = """
    atoms_cart atoms_frac dis_spheres kpoint_path kpoints nnkpts projections shell_list slwf_centres
    unit_cell_cart bands_path explicit_kpath explicit_kpath_labels
"""

_WANNIER90 = """
    auto_projections bands_num_points bands_plot bands_plot_dim bands_plot_format bands_plot_mode
    bands_plot_project calc_only_a conv_noise_amp conv_noise_num conv_tol conv_window cp_pp devel_flag
    dis_conv_tol dis_conv_window dis_froz_max dis_froz_min dis_froz_proj dis_mix_ratio dis_num_iter dis_proj_max
    dis_proj_min dis_spheres_first_wann dis_spheres_num dist_cutoff dist_cutoff_hc dist_cutoff_mode dis_win_max
    dis_win_min energy_unit exclude_bands fermi_energy fermi_energy_max fermi_energy_min fermi_energy_step
    fermi_surface_num_points fermi_surface_plot fermi_surface_plot_format fixed_step gamma_only guiding_centres
    higher_order_n higher_order_nearest_shells hr_cutoff hr_plot iprint kmesh kmesh_spacing kmesh_tol
    length_unit mp_grid num_atoms num_bands num_cg_steps num_dump_cycles num_elec_per_state num_guide_cycles
    num_iter num_no_guide_iter num_print_cycles num_shells num_valence_bands num_wann one_dim_axis optimisation
    postproc_setup precond restart search_shells select_projections shell_list site_symmetry skip_b1_tests
    slwf_constrain slwf_lambda slwf_num spin spinors symmetrize_eps timing_level tran_easy_fix tran_energy_step
    tran_group_threshold tran_num_bandc tran_num_bb tran_num_cc tran_num_cell_ll tran_num_cell_rr tran_num_cr
    tran_num_lc tran_num_ll tran_num_rr tran_read_ht tran_use_same_lead tran_win_max tran_win_min tran_write_ht
    translate_home_cell translation_centre_frac transport transport_mode transport_fermi_level trial_step
    unlucky use_bloch_phases use_ss_functional use_ws_distance wannier_plot wannier_plot_format
    wannier_plot_list wannier_plot_mode wannier_plot_radius wannier_plot_scale wannier_plot_spinor_mode
    wannier_plot_spinor_phase wannier_plot_supercell write_bvec write_hr write_hr_diag write_proj write_r2mn
    write_rmn write_tb write_u_matrices write_vdw_data write_xyz ws_distance_tol ws_search_size wvfn_formatted
"""

_POSTW90 = """
    adpt_smr adpt_smr_fac adpt_smr_max berry berry_curv_adpt_kmesh berry_curv_adpt_kmesh_thresh berry_curv_unit
    berry_kmesh berry_kmesh_spacing berry_task boltz_2d_dir boltz_bandshift boltz_bandshift_energyshift
    boltz_bandshift_firstband boltz_calc_also_dos boltz_dos_adpt_smr boltz_dos_adpt_smr_fac
    boltz_dos_adpt_smr_max boltz_dos_energy_max boltz_dos_energy_min boltz_dos_energy_step
    boltz_dos_smr_fixed_en_width boltz_dos_smr_type boltz_kmesh boltz_kmesh_spacing boltz_mu_max boltz_mu_min
    boltz_mu_step boltz_relax_time boltz_tdf_energy_step boltz_tdf_smr_fixed_en_width boltz_tdf_smr_type
    boltz_temp_max boltz_temp_min boltz_temp_step boltzwann degen_thr dos dos_adpt_smr dos_adpt_smr_fac
    dos_adpt_smr_max dos_energy_max dos_energy_min dos_energy_step dos_kmesh dos_kmesh_spacing dos_project
    dos_smr_fixed_en_width dos_smr_type dos_task effective_model geninterp geninterp_alsofirstder
    geninterp_single_file gyrotropic gyrotropic_band_list gyrotropic_box_b1 gyrotropic_box_b2 gyrotropic_box_b3
    gyrotropic_box_center gyrotropic_degen_thresh gyrotropic_eigval_max gyrotropic_freq_max gyrotropic_freq_min
    gyrotropic_freq_step gyrotropic_kmesh gyrotropic_kmesh_spacing gyrotropic_smr_fixed_en_width
    gyrotropic_smr_max_arg gyrotropic_smr_type gyrotropic_task kdotp_bands kdotp_kpoint kdotp_num_bands kpath
    kpath_bands_colour kpath_num_points kpath_task kslice kslice_2dkmesh kslice_b1 kslice_b2 kslice_corner
    kslice_fermi_level kslice_fermi_lines_colour kslice_task kubo_adpt_smr kubo_adpt_smr_fac kubo_adpt_smr_max
    kubo_eigval_max kubo_freq_max kubo_freq_min kubo_freq_step kubo_smr_fixed_en_width kubo_smr_type sc_eta
    sc_phase_conv sc_use_eta_corr sc_w_thr scissors_shift shc_alpha shc_bandshift shc_bandshift_energyshift
    shc_bandshift_firstband shc_beta shc_freq_scan shc_gamma shc_method smr_fixed_en_width smr_max_arg smr_type
    spin_axis_azimuth spin_axis_polar spin_decomp spin_kmesh spin_kmesh_spacing spin_moment spn_formatted
    transl_inv transl_inv_full uhu_formatted use_degen_pert wanint_kpoint_file
"""

BLOCKS = frozenset(_BLOCKS.split())
KEYWORDS = frozenset((_WANNIER90 + _POSTW90).split())

//! All that belongs to one device: the window's surface, egui's renderer, the picture and the network.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{Align, CentralPanel, ComboBox, Image, Layout, Panel, TextureId, Vec2, load::SizedTexture};
use egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor, preferred_framebuffer_format};
use spp_wgpu::gpu::{Reading, describe};
use spp_wgpu::wgpu::{self, CurrentSurfaceTexture, TextureUsages, TextureView};
use spp_wgpu::{Gpu, Result as SppResult};
use winit::event::WindowEvent;
use winit::event_loop::ActiveEventLoop;
use winit::window::Window;

use crate::Choice;
use crate::network::{BLOCKS, HEAT_SIZE, Network};
use crate::picture::{self, Picture, SIZE};

/// What became of a frame.
pub enum Drawn {
    Shown,
    /// The window cannot be drawn to at present.
    Skipped,
    /// The user wants another device.
    OtherDevice,
    /// The device is lost, or the window's surface: all must be built anew.
    Lost,
}

pub struct View {
    gpu: Gpu,
    /// All adapters that can draw to the window.
    devices: Vec<String>,
    device: String,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    input: egui_winit::State,
    renderer: Renderer,
    picture: Picture,
    picture_id: TextureId,
    heat: TextureView,
    heat_id: TextureId,
    block: String,
    /// Or why this block cannot be had here.
    network: SppResult<Network>,
    /// Block times that are on their way, and the last one that arrived, in milliseconds.
    times: Vec<Reading<Duration>>,
    block_time: Option<f32>,
    last_frame: Instant,
    /// Milliseconds from frame to frame, smoothed.
    frame_time: f32,
}

impl View {
    /// Opens the first adapter whose name contains this text and that can draw to the window.
    pub fn new(
        event_loop: &ActiveEventLoop,
        window: &Arc<Window>,
        device: Option<&str>,
    ) -> Result<Self, Box<dyn Error>> {
        let display = Box::new(event_loop.owned_display_handle());
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_with_display_handle_from_env(display));
        let surface = instance.create_surface(Arc::clone(window))?;
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
        adapters.retain(|adapter| adapter.is_surface_supported(&surface));
        let devices: Vec<String> = adapters.iter().map(|adapter| describe(&adapter.get_info())).collect();
        let wanted = device.unwrap_or_default().to_lowercase();
        let Some(index) = devices.iter().position(|name| name.to_lowercase().contains(&wanted)) else {
            return Err(format!("no adapter called '{wanted}' can draw to this window; there are: {devices:?}").into());
        };
        let adapter = adapters.swap_remove(index);

        let wanted = Gpu::recommended(&adapter);
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("live view"),
            required_features: wanted.features,
            required_limits: wanted.limits,
            ..Default::default()
        }))?;
        let gpu = Gpu::from_device(adapter.get_info(), device.clone(), queue.clone())?;
        let loss = gpu.loss();
        device.set_device_lost_callback(move |_, reason| loss.mark(reason));
        device.on_uncaptured_error(Arc::new(|error| log::error!("{error}")));

        let size = window.inner_size();
        let mut config = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or("the window's surface has no configuration")?;
        config.format = preferred_framebuffer_format(&surface.get_capabilities(&adapter).formats)?;
        surface.configure(&device, &config);

        let side = device.limits().max_texture_dimension_2d as usize;
        let context = egui::Context::default();
        let root = context.viewport_id();
        let input = egui_winit::State::new(context, root, window, Some(window.scale_factor() as f32), None, Some(side));
        let mut renderer = Renderer::new(&device, config.format, RendererOptions::default());

        let picture = Picture::new(&device);
        let heat = picture::texture(&device, "heat map", HEAT_SIZE, TextureUsages::STORAGE_BINDING);
        let mut register = |view| renderer.register_native_texture(&device, view, wgpu::FilterMode::Linear);
        let (picture_id, heat_id) = (register(&picture.view), register(&heat));
        let block = BLOCKS[0].to_string();
        let network = Network::new(&gpu, &block, &picture.view, &heat);
        Ok(Self {
            times: Vec::new(),
            block_time: None,
            device: devices[index].clone(),
            gpu,
            devices,
            surface,
            config,
            input,
            renderer,
            picture,
            picture_id,
            heat,
            heat_id,
            block,
            network,
            last_frame: Instant::now(),
            frame_time: 0.0,
        })
    }

    pub fn input(&mut self, window: &Window, event: &WindowEvent) {
        // Whether egui wants a frame does not matter: there always is a next one.
        let _response = self.input.on_window_event(window, event);
    }

    pub fn is_lost(&self) -> bool {
        self.gpu.is_lost()
    }

    pub fn lose_device(&self) {
        self.gpu.device().destroy();
    }

    /// Draws what there is at this time, and keeps it in a file if asked.
    pub fn draw(
        &mut self,
        window: &Window,
        choice: &mut Choice,
        seconds: f32,
        screenshot: Option<&Path>,
    ) -> Result<Drawn, Box<dyn Error>> {
        // Callbacks: of times, of a lost device.
        self.gpu.poll()?;
        for mut time in std::mem::take(&mut self.times) {
            match time.try_take()? {
                Some(time) => self.block_time = Some(time.as_secs_f32() * 1e3),
                None => self.times.push(time),
            }
        }
        if self.block != choice.block {
            self.block.clone_from(&choice.block);
            self.network = Network::new(&self.gpu, &self.block, &self.picture.view, &self.heat);
            self.block_time = None;
        }
        let (device, queue) = (self.gpu.device().clone(), self.gpu.queue().clone());
        let size = window.inner_size();
        if size.width == 0 || size.height == 0 {
            return Ok(Drawn::Skipped);
        }
        if (size.width, size.height) != (self.config.width, self.config.height) {
            (self.config.width, self.config.height) = (size.width, size.height);
            self.surface.configure(&device, &self.config);
        }
        let frame = match self.surface.get_current_texture() {
            CurrentSurfaceTexture::Success(frame) | CurrentSurfaceTexture::Suboptimal(frame) => frame,
            CurrentSurfaceTexture::Outdated => {
                self.surface.configure(&device, &self.config);
                return Ok(Drawn::Skipped);
            }
            CurrentSurfaceTexture::Lost => return Ok(Drawn::Lost),
            _ => return Ok(Drawn::Skipped),
        };
        self.frame_time += 0.1 * (self.last_frame.elapsed().as_secs_f32() * 1e3 - self.frame_time);
        self.last_frame = Instant::now();

        let mut encoder = device.create_command_encoder(&Default::default());
        self.picture.draw(&queue, &mut encoder, seconds);
        if let Ok(network) = &self.network {
            self.times.extend(network.record(&mut encoder)?);
        }

        let context = self.input.egui_ctx().clone();
        let input = self.input.take_egui_input(window);
        let mut output = context.run_ui(input, |ui| self.show(ui, choice));
        self.input.handle_platform_output(window, output.platform_output);
        let shapes = context.tessellate(output.shapes, output.pixels_per_point);
        for (id, deltas) in output.textures_delta.set.drain() {
            for delta in deltas {
                self.renderer.update_texture(&device, &queue, id, &delta);
            }
        }
        let screen = ScreenDescriptor {
            size_in_pixels: [self.config.width, self.config.height],
            pixels_per_point: output.pixels_per_point,
        };
        let before = self.renderer.update_buffers(&device, &queue, &mut encoder, &shapes, &screen);
        self.paint(&mut encoder, &frame.texture, &shapes, &screen);
        let kept = screenshot.map(|_| self.texture_to_keep(&device));
        if let Some(texture) = &kept {
            self.paint(&mut encoder, texture, &shapes, &screen);
        }
        queue.submit(before.into_iter().chain([encoder.finish()]));
        for id in output.textures_delta.free.drain() {
            self.renderer.free_texture(&id);
        }
        window.pre_present_notify();
        queue.present(frame);
        if let (Some(path), Some(texture)) = (screenshot, &kept) {
            self.write_png(path, texture)?;
        }
        Ok(if choice.device.as_ref().is_some_and(|chosen| *chosen != self.device) {
            Drawn::OtherDevice
        } else {
            Drawn::Shown
        })
    }

    /// The whole window.
    fn show(&self, ui: &mut egui::Ui, choice: &mut Choice) {
        Panel::top("choice").show(ui, |ui| {
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                ui.label("Block");
                ComboBox::from_id_salt("block").width(110.0).selected_text(&choice.block).show_ui(ui, |ui| {
                    for block in BLOCKS {
                        ui.selectable_value(&mut choice.block, block.into(), block);
                    }
                });
                ui.add_space(12.0);
                ui.label("Device");
                ComboBox::from_id_salt("device").width(360.0).truncate().selected_text(&self.device).show_ui(
                    ui,
                    |ui| {
                        for device in &self.devices {
                            if ui.selectable_label(*device == self.device, device).clicked() {
                                choice.device = Some(device.clone());
                            }
                        }
                    },
                );
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let block = match self.block_time {
                        Some(time) => format!("{time:.1} ms"),
                        None => "-".into(),
                    };
                    ui.monospace(format!("frame {:.1} ms   block {block}", self.frame_time));
                });
            });
            ui.add_space(6.0);
        });
        CentralPanel::default().show(ui, |ui| {
            if let Err(error) = &self.network {
                ui.colored_label(ui.visuals().error_fg_color, error.to_string());
            }
            ui.columns(2, |columns| {
                let [left, right] = columns else { return };
                map(left, format!("Picture, {SIZE} by {SIZE}"), self.picture_id);
                if self.network.is_ok() {
                    let block = &self.block;
                    map(right, format!("Mean of {block}'s channels, {HEAT_SIZE} by {HEAT_SIZE}"), self.heat_id);
                }
            });
        });
    }

    fn paint(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        target: &wgpu::Texture,
        shapes: &[egui::ClippedPrimitive],
        screen: &ScreenDescriptor,
    ) {
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("window"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target.create_view(&Default::default()),
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        self.renderer.render(&mut pass.forget_lifetime(), shapes, screen);
    }

    /// Like the window's, but it can be copied: those of windows need not.
    fn texture_to_keep(&self, device: &wgpu::Device) -> wgpu::Texture {
        let (width, height) = (self.config.width, self.config.height);
        device.create_texture(&wgpu::TextureDescriptor {
            label: Some("screenshot"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: self.config.format,
            usage: TextureUsages::RENDER_ATTACHMENT | TextureUsages::COPY_SRC,
            view_formats: &[],
        })
    }

    fn write_png(&self, path: &Path, texture: &wgpu::Texture) -> Result<(), Box<dyn Error>> {
        let (device, size) = (self.gpu.device(), texture.size());
        let row = (4 * size.width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("screenshot"),
            size: u64::from(row) * u64::from(size.height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let into = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), into, size);
        self.gpu.queue().submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let mut pixels = Vec::new();
        for row in buffer.get_mapped_range(..)?.chunks(row as usize) {
            for pixel in row[..4 * size.width as usize].chunks(4) {
                let [first, green, last] = [pixel[0], pixel[1], pixel[2]];
                let swapped = matches!(texture.format().remove_srgb_suffix(), wgpu::TextureFormat::Bgra8Unorm);
                pixels.extend(if swapped { [last, green, first] } else { [first, green, last] });
            }
        }
        let mut png = png::Encoder::new(std::fs::File::create(path)?, size.width, size.height);
        png.set_color(png::ColorType::Rgb);
        png.write_header()?.write_image_data(&pixels)?;
        println!("{} by {} pixels of {} in {}", size.width, size.height, self.device, path.display());
        Ok(())
    }
}

/// A square texture as large as fits, under its title.
fn map(ui: &mut egui::Ui, title: String, id: TextureId) {
    ui.vertical_centered(|ui| {
        ui.add_space(4.0);
        ui.label(title);
        ui.add_space(4.0);
        let room = ui.available_size();
        let side = room.x.min(room.y);
        ui.add(Image::from_texture(SizedTexture::new(id, Vec2::splat(side))).fit_to_exact_size(Vec2::splat(side)));
    });
}

//! A live view: moving shapes that the app draws, and beside them what a block of the family makes of them, on a device
//! of choice.
//!
//! `cargo run --release -p window` opens it; `--frames 30 --screenshot view.png` closes it after 30 frames and keeps
//! the last.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use winit::application::ApplicationHandler;
use winit::dpi::LogicalSize;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::window::{Window, WindowId};

mod network;
mod picture;
mod view;

use network::BLOCKS;
use view::{Drawn, View};

/// A live view of what a block computes.
#[derive(Parser)]
struct Args {
    /// The block to begin with
    #[arg(long, default_value = "sppf", value_parser = BLOCKS)]
    block: String,
    /// The device to begin with: part of its name
    #[arg(long)]
    device: Option<String>,
    /// Close after so many frames, in which shapes move by a sixtieth of a second each, whatever time it is
    #[arg(long)]
    frames: Option<u64>,
    /// Write the last of --frames to this PNG file
    #[arg(long, requires = "frames")]
    screenshot: Option<PathBuf>,
    /// Destroy the device before this frame, as a driver that crashes would
    #[arg(long)]
    lose_device_at: Option<u64>,
}

/// What the user chose.
struct Choice {
    block: String,
    /// Part of the adapter's name; the first adapter, unless it is given.
    device: Option<String>,
}

struct App {
    args: Args,
    choice: Choice,
    window: Option<Arc<Window>>,
    /// All that belongs to a device; rebuilt when that is lost or another is chosen.
    view: Option<View>,
    /// Devices lost since a frame was last drawn.
    losses: u32,
    frame: u64,
    started: Instant,
    result: Result<(), Box<dyn Error>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let args = Args::parse();
    let choice = Choice { block: args.block.clone(), device: args.device.clone() };
    let mut app =
        App { args, choice, window: None, view: None, losses: 0, frame: 0, started: Instant::now(), result: Ok(()) };
    EventLoop::new()?.run_app(&mut app)?;
    app.result
}

impl App {
    fn draw(&mut self, event_loop: &ActiveEventLoop) -> Result<(), Box<dyn Error>> {
        let Some(window) = self.window.clone() else { return Ok(()) };
        let view = match &mut self.view {
            Some(view) => view,
            None => self.view.insert(View::new(event_loop, &window, self.choice.device.as_deref())?),
        };
        if self.args.lose_device_at == Some(self.frame) {
            self.args.lose_device_at = None;
            view.lose_device();
        }
        let (seconds, last) = match self.args.frames {
            Some(frames) => (self.frame as f32 / 60.0, self.frame + 1 >= frames),
            None => (self.started.elapsed().as_secs_f32(), false),
        };
        let screenshot = self.args.screenshot.as_deref().filter(|_| last);
        let drawn = view.draw(&window, &mut self.choice, seconds, screenshot);
        // Whatever failed, failed for that.
        match if view.is_lost() { Drawn::Lost } else { drawn? } {
            Drawn::Shown => {
                (self.frame, self.losses) = (self.frame + 1, 0);
                if last {
                    event_loop.exit();
                }
            }
            Drawn::Skipped => {}
            Drawn::OtherDevice => self.view = None,
            Drawn::Lost => {
                self.losses += 1;
                if self.losses > 3 {
                    return Err("the device is lost again and again".into());
                }
                log::warn!("the device is lost; another takes its place");
                self.view = None;
            }
        }
        Ok(())
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let attributes = Window::default_attributes()
            .with_title("spp-wgpu: live view")
            .with_inner_size(LogicalSize::new(1000.0, 580.0));
        match event_loop.create_window(attributes) {
            Ok(window) => self.window = Some(Arc::new(window)),
            Err(error) => {
                self.result = Err(error.into());
                event_loop.exit();
            }
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(window) = self.window.clone() else { return };
        match event {
            WindowEvent::CloseRequested => event_loop.exit(),
            WindowEvent::RedrawRequested => {
                if let Err(error) = self.draw(event_loop) {
                    self.result = Err(error);
                    event_loop.exit();
                }
            }
            event => {
                if let Some(view) = &mut self.view {
                    view.input(&window, &event);
                }
            }
        }
    }

    fn about_to_wait(&mut self, _: &ActiveEventLoop) {
        if let Some(window) = &self.window {
            window.request_redraw();
        }
    }

    fn exiting(&mut self, _: &ActiveEventLoop) {
        // Before the window it draws to.
        self.view = None;
    }
}

//! Frames in flight: as many results on their way as were asked for, and never more; whoever stops looking at one holds
//! nobody up; recordings of an app that are read, timed, and kept apart.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use spp_wgpu::gpu::Reading;
use spp_wgpu::wgpu::{self, Buffer, BufferUsages};
use spp_wgpu::{Bindings, Error, Gpu, GpuOptions, Program, Shape, Tensor};

use crate::graphs::sppf;
use crate::harness::{Data, GPU, arrived, random};

const X: Shape = Shape::new(1, 12, 7, 9);
const BYTES: u64 = X.len() * 4;
const ALL: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);

/// A device of its own, on which a wait that has no end fails.
fn gpu(frames: usize) -> Gpu {
    let mut options = GpuOptions::default();
    (options.frames, options.timeout) = (frames, Duration::from_secs(60));
    Gpu::new(&options).unwrap()
}

fn program(gpu: &Gpu) -> Program {
    Program::new(gpu, &sppf(X, 9, true)).unwrap()
}

/// Inputs, and what a run alone makes of each.
fn frames(count: u64) -> Vec<(Tensor, Tensor)> {
    let program = program(&GPU);
    let frame = |seed| {
        let x = random(X, seed, Data::Uniform);
        let y = program.run(&[&x]).unwrap().remove(0);
        (x, y)
    };
    (0..count).map(frame).collect()
}

fn same(got: &[Tensor], want: &Tensor) -> bool {
    let bits = |tensor: &Tensor| tensor.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    got.len() == 1 && bits(&got[0]) == bits(want)
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// Buffers with this label, and the bytes of all; `None` where wgpu does not report them.
fn allocated(gpu: &Gpu, label: &str) -> Option<(usize, u64)> {
    let report = gpu.device().generate_allocator_report()?;
    let labelled = report.allocations.iter().filter(|allocation| allocation.name == label).count();
    Some((labelled, report.total_allocated_bytes))
}

/// The app's buffers for one frame.
struct Lent {
    input: Buffer,
    output: Buffer,
}

impl Lent {
    fn new(gpu: &Gpu, usage: BufferUsages) -> Self {
        let buffer = |usage| {
            let descriptor =
                wgpu::BufferDescriptor { label: Some("app"), size: BYTES, usage, mapped_at_creation: false };
            gpu.device().create_buffer(&descriptor)
        };
        Self { input: buffer(ALL), output: buffer(usage) }
    }

    fn bind(&self, program: &Program) -> Bindings {
        let [x, y] = [&self.input, &self.output].map(Buffer::as_entire_buffer_binding);
        program.bind(&[x], &[y]).unwrap()
    }

    fn bind_apart(&self, program: &Program) -> Bindings {
        let [x, y] = [&self.input, &self.output].map(Buffer::as_entire_buffer_binding);
        program.bind_apart(&[x], &[y]).unwrap()
    }

    fn upload(&self, gpu: &Gpu, x: &Tensor) {
        gpu.queue().write_buffer(&self.input, 0, bytemuck::cast_slice(x.data()));
    }
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device().create_command_encoder(&Default::default())
}

fn submit(gpu: &Gpu, encoder: wgpu::CommandEncoder) {
    gpu.queue().submit([encoder.finish()]);
}

#[test]
fn a_thousand_runs_at_once_make_no_more_buffers_than_frames() {
    let frames = frames(10);
    for count in [1, 3] {
        let gpu = gpu(count);
        let program = program(&gpu);
        let mut runs: Vec<_> = (0..1000)
            .map(|i| {
                let (x, y) = &frames[i % frames.len()];
                Some((Box::pin(program.run_async(std::slice::from_ref(x))), y))
            })
            .collect();
        let (mut left, mut most) = (runs.len(), 0);
        while left > 0 {
            for slot in &mut runs {
                let Some((run, want)) = slot else { continue };
                let Some(got) = poll_once(run.as_mut()) else { continue };
                assert!(same(&got.unwrap(), want));
                *slot = None;
                left -= 1;
            }
            most = most.max(allocated(&gpu, "spp/staging").map_or(count, |(buffers, _)| buffers));
            gpu.poll().unwrap();
        }
        // Fewer, where runs end as soon as they are submitted.
        assert!((1..=count).contains(&most), "{most} buffers of {count}");
    }
}

/// Wakers, where the loop above polls every future.
#[test]
fn tasks_that_wait_for_their_turn_are_woken() {
    let (gpu, frames) = (gpu(1), frames(8));
    let (program, done) = (program(&gpu), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                gpu.poll().unwrap();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let tasks: Vec<_> = frames
            .iter()
            .map(|(x, y)| {
                let program = &program;
                scope.spawn(move || {
                    for _ in 0..20 {
                        assert!(same(&pollster::block_on(program.run_async(&[x])).unwrap(), y));
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn futures_that_nobody_polls_again_hold_nobody_up() {
    let (gpu, frames) = (gpu(3), frames(2));
    let (program, (x, y), (other, other_y)) = (program(&gpu), &frames[0], &frames[1]);
    // Three that run, and three that wait for them.
    let inputs = [x];
    let mut begun: Vec<_> = (0..6).map(|_| Box::pin(program.run_async(&inputs))).collect();
    for run in &mut begun {
        assert!(poll_once(run.as_mut()).is_none_or(|got| same(&got.unwrap(), y)));
    }
    for _ in 0..10 {
        assert!(same(&program.run(&[other]).unwrap(), other_y));
    }
    // Those that wait have been woken and have not come: the turn is still anybody's.
    let mut late = pin!(program.run_async(std::slice::from_ref(other)));
    let start = Instant::now();
    let got = loop {
        gpu.poll().unwrap();
        if let Some(got) = poll_once(late.as_mut()) {
            break got;
        }
        assert!(start.elapsed() < Duration::from_secs(60));
    };
    assert!(same(&got.unwrap(), other_y));
}

/// Whether all places are free: so many readings are recorded, and one more is not.
fn all_free(gpu: &Gpu, program: &Program, bindings: &Bindings, count: usize) -> bool {
    let mut encoder = encoder(gpu);
    let readings: Vec<_> = (0..=count).map(|_| program.read(&mut encoder, bindings).unwrap()).collect();
    // Dropped without having been submitted, together with the encoder.
    readings.iter().take(count).all(Option::is_some) && readings[count].is_none()
}

#[test]
fn runs_and_readings_dropped_in_any_state_leave_their_place() {
    let (gpu, frames) = (gpu(2), frames(1));
    let (program, (x, y)) = (program(&gpu), &frames[0]);
    let lent = Lent::new(&gpu, ALL);
    let bindings = lent.bind(&program);
    let inputs = [x];
    let settle = || while !gpu.poll().unwrap() {};
    for _ in 0..5 {
        drop(program.run_async(&inputs));
        let mut running: Vec<_> = (0..3).map(|_| Box::pin(program.run_async(&inputs))).collect();
        running.iter_mut().for_each(|run| drop(poll_once(run.as_mut())));
        // One that runs, then one that waits, then the rest.
        drop(running.remove(0));
        drop(running.pop());
        drop(running);
        settle();
        assert!(all_free(&gpu, &program, &bindings, 2));

        let mut done = Box::pin(program.run_async(&inputs));
        assert!(poll_once(done.as_mut()).is_none());
        settle();
        drop(done);
        assert!(all_free(&gpu, &program, &bindings, 2));

        lent.upload(&gpu, x);
        let mut encoder = encoder(&gpu);
        program.record(&mut encoder, &bindings).unwrap();
        let kept = program.read(&mut encoder, &bindings).unwrap().unwrap();
        drop(program.read(&mut encoder, &bindings).unwrap());
        submit(&gpu, encoder);
        settle();
        assert!(all_free(&gpu, &program, &bindings, 2), "a reading counts until it has arrived");
        assert!(same(&arrived(&gpu, kept), y));
    }
}

#[test]
fn what_an_app_records_is_read_without_waiting() {
    let (gpu, frames) = (gpu(3), frames(5));
    let program = program(&gpu);
    let lent = Lent::new(&gpu, ALL);
    let bindings = lent.bind(&program);
    let (mut encoders, mut readings) = (Vec::new(), Vec::new());
    for i in 0..frames.len() {
        let mut encoder = encoder(&gpu);
        program.record(&mut encoder, &bindings).unwrap();
        let mut reading = program.read(&mut encoder, &bindings).unwrap();
        assert_eq!(reading.is_some(), i < 3);
        assert!(reading.as_mut().is_none_or(|reading| reading.try_take().unwrap().is_none()), "it was not submitted");
        readings.extend(reading);
        encoders.push(encoder);
    }
    for (encoder, (x, _)) in encoders.into_iter().zip(&frames) {
        lent.upload(&gpu, x);
        submit(&gpu, encoder);
    }
    for (reading, (_, y)) in readings.into_iter().zip(&frames) {
        assert!(same(&arrived(&gpu, reading), y));
    }
    // As a future, and once only.
    let mut encoder = encoder(&gpu);
    program.record(&mut encoder, &bindings).unwrap();
    let mut reading = program.read(&mut encoder, &bindings).unwrap().unwrap();
    submit(&gpu, encoder);
    while !gpu.poll().unwrap() {}
    assert!(same(&pollster::block_on(&mut reading).unwrap(), &frames[4].1));
    assert!(matches!(reading.try_take(), Err(Error::InvalidData { .. })));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let gpu = gpu(1);
    let (program, other) = (program(&gpu), program(&gpu));
    let mut encoder = encoder(&gpu);
    let unreadable = Lent::new(&gpu, BufferUsages::STORAGE).bind(&program);
    let error = program.read(&mut encoder, &unreadable).unwrap_err();
    assert!(matches!(&error, Error::InvalidData { what, .. } if what == "output 'y'"), "{error}");
    assert!(error.to_string().contains("COPY_SRC"));
    let foreign = Lent::new(&gpu, ALL).bind(&other);
    assert!(matches!(program.read(&mut encoder, &foreign), Err(Error::InvalidData { .. })));
    assert!(matches!(program.time(&mut encoder, &foreign), Err(Error::InvalidData { .. })));
    // An encoder that is never submitted.
    let bindings = Lent::new(&gpu, ALL).bind(&program);
    let mut reading = program.read(&mut encoder, &bindings).unwrap().unwrap();
    drop(encoder);
    let error = reading.try_take().unwrap_err();
    assert!(matches!(&error, Error::Gpu(reason) if reason.contains("never submitted")), "{error}");

    let mut options = GpuOptions::default();
    options.frames = 0;
    assert!(matches!(Gpu::new(&options), Err(Error::InvalidParam { param: "frames", .. })));
}

/// An app that asks for every frame and looks at none of them.
#[test]
fn a_reader_who_never_reads_does_not_hold_up_the_queue() {
    let (gpu, frames) = (gpu(2), frames(1));
    let (program, (x, y)) = (program(&gpu), &frames[0]);
    let lent = Lent::new(&gpu, ALL);
    let bindings = lent.bind(&program);
    lent.upload(&gpu, x);
    let mut unread = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let mut encoder = encoder(&gpu);
        program.record(&mut encoder, &bindings).unwrap();
        match program.read(&mut encoder, &bindings).unwrap() {
            Some(reading) => unread.push(reading),
            None => refused += 1,
        }
        submit(&gpu, encoder);
        // What else the app does with the device, though nobody reads.
        if unread.len() == 2 {
            let (submitted, index) = (Instant::now(), gpu.queue().submit([]));
            let timeout = Some(Duration::from_secs(60));
            gpu.device().poll(wgpu::PollType::Wait { submission_index: Some(index), timeout }).unwrap();
            assert!(submitted.elapsed() < Duration::from_secs(60));
        }
    }
    assert_eq!(unread.len() + refused, 200);
    assert!(unread.len() > 2, "a reading that has arrived leaves its place");
    while !gpu.poll().unwrap() {}
    assert!(unread.into_iter().all(|mut reading| same(&reading.try_take().unwrap().unwrap(), y)));
    assert!(same(&program.run(&[x]).unwrap(), y));
}

/// Scratch buffers live as long as bind groups hold them, so what is allocated tells whose are bound.
#[test]
fn recordings_apart_share_no_scratch_buffer() {
    let (gpu, frames) = (gpu(3), frames(2));
    let program = program(&gpu);
    let scratch = program.plan().scratch_bytes();
    let labels: Vec<String> = program.plan().buffers.iter().map(|buffer| format!("spp/{}", buffer.label)).collect();
    let is_scratch = |i: &usize| program.plan().buffers[*i].role == spp_wgpu::plan::Role::Scratch;
    let scratch_labels: Vec<&String> = (0..labels.len()).filter(is_scratch).map(|i| &labels[i]).collect();
    assert!(scratch > 0 && !scratch_labels.is_empty());
    let lent = [(); 2].map(|()| Lent::new(&gpu, ALL));
    let count = || scratch_labels.iter().map(|label| Some(allocated(&gpu, label)?.0)).sum::<Option<usize>>();
    let before = count();
    let bindings = [lent[0].bind_apart(&program), lent[1].bind_apart(&program)];
    assert_eq!(count(), before.map(|count| 3 * count));
    // Nothing of the program's own is read, and all dispatches of a recording share the same buffers.
    for ((lent, bindings), (x, y)) in lent.iter().zip(&bindings).zip(&frames) {
        lent.upload(&gpu, x);
        program.poison().unwrap();
        let mut encoder = encoder(&gpu);
        program.record(&mut encoder, bindings).unwrap();
        let reading = program.read(&mut encoder, bindings).unwrap().unwrap();
        submit(&gpu, encoder);
        assert!(same(&arrived(&gpu, reading), y));
    }
    // Both in flight.
    let mut both = Vec::new();
    for ((lent, bindings), (x, _)) in lent.iter().zip(&bindings).zip(frames.iter().rev()) {
        lent.upload(&gpu, x);
        let mut encoder = encoder(&gpu);
        program.record(&mut encoder, bindings).unwrap();
        both.extend(program.read(&mut encoder, bindings).unwrap());
        submit(&gpu, encoder);
    }
    for (reading, (_, y)) in both.into_iter().zip(frames.iter().rev()) {
        assert!(same(&arrived(&gpu, reading), y));
    }
    drop(bindings);
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    assert_eq!(count(), before);
}

#[test]
fn recordings_are_timed_where_the_device_has_a_clock() {
    let (gpu, frames) = (gpu(2), frames(1));
    let (program, (x, y)) = (program(&gpu), &frames[0]);
    let lent = Lent::new(&gpu, ALL);
    let bindings = lent.bind(&program);
    lent.upload(&gpu, x);
    let start = Instant::now();
    let mut encoder = encoder(&gpu);
    // The third finds no place, and is recorded all the same.
    let times: Vec<_> = (0..3).map(|_| program.time(&mut encoder, &bindings).unwrap()).collect();
    let has = |reading: &Option<Reading<Duration>>| reading.is_some();
    assert_eq!(times.iter().map(has).collect::<Vec<_>>(), [gpu.has_timestamps(), gpu.has_timestamps(), false]);
    let reading = program.read(&mut encoder, &bindings).unwrap().unwrap();
    submit(&gpu, encoder);
    assert!(same(&arrived(&gpu, reading), y));
    let times: Vec<Duration> = times.into_iter().flatten().map(|time| arrived(&gpu, time)).collect();
    let wall = start.elapsed();
    println!("{times:?} of {wall:?}");
    assert!(times.iter().all(|time| *time > Duration::ZERO) && times.iter().sum::<Duration>() < wall);
    // Untimed for want of a place, the dispatches still run.
    program.poison().unwrap();
    let mut encoder = self::encoder(&gpu);
    encoder.clear_buffer(&lent.output, 0, None);
    let mut never = self::encoder(&gpu);
    let taken = [(); 2].map(|()| program.time(&mut never, &bindings).unwrap());
    assert!(program.time(&mut encoder, &bindings).unwrap().is_none());
    drop(taken);
    assert!(
        program.time(&mut never, &bindings).unwrap().is_none(),
        "a place is taken as long as its encoder may be submitted"
    );
    let reading = program.read(&mut encoder, &bindings).unwrap().unwrap();
    submit(&gpu, encoder);
    assert!(same(&arrived(&gpu, reading), y));
}

#[test]
fn borrowed_inputs_are_taken_as_they_are() {
    let (program, frames) = (program(&GPU), frames(1));
    let (x, y) = &frames[0];
    assert!(same(&program.run(std::slice::from_ref(x)).unwrap(), y));
    assert!(same(&program.run(&[x]).unwrap(), y));
    assert!(same(&program.run(&[x.data()]).unwrap(), y));
    assert!(same(&program.run(&[x.data().to_vec()]).unwrap(), y));
    assert!(same(&program.run(&[&x.data().to_vec()]).unwrap(), y));
    let borrowed = [x.data()];
    let mut run = Box::pin(program.run_async(&borrowed));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        GPU.poll().unwrap();
        if let Some(got) = poll_once(run.as_mut()) {
            assert!(same(&got.unwrap(), y));
            break;
        }
    }
    for wrong in [&x.data()[1..], &[x.data(), &[0.0]].concat()] {
        let error = program.run(&[wrong]).unwrap_err();
        assert!(matches!(&error, Error::InvalidData { what, .. } if what == "input 'x'"), "{error}");
        assert!(error.to_string().contains("holds 756 values"), "{error}");
    }
}

/// A thread may own what it waits for.
#[test]
fn what_is_under_way_may_change_threads() {
    fn sends<T: Send>(_: &T) {}
    let program = program(&GPU);
    let x = [random(X, 1, Data::Uniform)];
    sends(&program.run_async(&x));
    let bindings = Lent::new(&GPU, ALL).bind(&program);
    sends(&program.read(&mut encoder(&GPU), &bindings).unwrap());
    sends(&program);
}

#[test]
fn warming_up_makes_all_that_a_run_needs_while_others_run() {
    let (gpu, frames) = (gpu(3), frames(1));
    let (x, y) = &frames[0];
    let programs = [program(&gpu), program(&gpu)];
    assert!(allocated(&gpu, "spp/staging").is_none_or(|(count, _)| count == 0));
    programs[0].warm_up().unwrap();
    let count = allocated(&gpu, "spp/staging");
    assert!(count.is_none_or(|(count, _)| count == 1), "{count:?}");
    std::thread::scope(|scope| {
        let warm = scope.spawn(|| (0..50).for_each(|_| programs.iter().for_each(|program| program.warm_up().unwrap())));
        while !warm.is_finished() {
            assert!(programs.iter().all(|program| same(&program.run(&[x]).unwrap(), y)));
        }
    });
    assert!(programs.iter().all(|program| same(&program.run(&[x]).unwrap(), y)));
    let none = Program::new(&gpu, &sppf(Shape { n: 0, ..X }, 9, true)).unwrap();
    none.warm_up().unwrap();
}

/// A frame of the app's own: a texture is cleared.
fn render(view: &wgpu::TextureView, encoder: &mut wgpu::CommandEncoder) {
    encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::RED), store: wgpu::StoreOp::Store },
        })],
        ..Default::default()
    });
}

#[test]
fn eight_threads_run_while_the_app_renders_and_polls() {
    let (gpu, frames) = (gpu(3), frames(8));
    let program = program(&gpu);
    let texture = gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: Some("app"),
        size: wgpu::Extent3d { width: 64, height: 64, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    });
    let view = texture.create_view(&Default::default());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let polls = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                gpu.poll().unwrap();
            }
        });
        let renders = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let mut encoder = encoder(&gpu);
                render(&view, &mut encoder);
                submit(&gpu, encoder);
                count += 1;
                std::thread::sleep(Duration::from_micros(500));
            }
            count
        });
        let threads: Vec<_> = frames
            .iter()
            .map(|(x, y)| {
                let program = &program;
                scope.spawn(move || (0..200).filter(|_| !same(&program.run(&[x]).unwrap(), y)).count())
            })
            .collect();
        let wrong: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, [0; 8]);
        polls.join().unwrap();
        assert!(renders.join().unwrap() > 10);
    });
}

#[test]
fn a_device_lost_with_frames_in_flight_is_an_error_and_no_hang() {
    let frames = frames(1);
    let (x, y) = &frames[0];
    for round in 0..8 {
        let gpu = gpu(2);
        let program = program(&gpu);
        let lent = Lent::new(&gpu, ALL);
        let bindings = lent.bind(&program);
        lent.upload(&gpu, x);
        let mut encoder = encoder(&gpu);
        program.record(&mut encoder, &bindings).unwrap();
        let submitted = program.read(&mut encoder, &bindings).unwrap().unwrap();
        submit(&gpu, encoder);
        let mut unsubmitted = self::encoder(&gpu);
        let not_yet = program.read(&mut unsubmitted, &bindings).unwrap().unwrap();
        let inputs = [x];
        let mut waits = Box::pin(program.run_async(&inputs));
        assert!(poll_once(waits.as_mut()).is_none());
        if round % 2 == 1 {
            std::thread::sleep(Duration::from_millis(round));
            gpu.poll().unwrap();
        }
        gpu.device().destroy();
        if round % 4 >= 2 {
            submit(&gpu, unsubmitted);
        } else {
            drop(unsubmitted);
        }
        for mut reading in [submitted, not_yet] {
            let start = Instant::now();
            loop {
                match reading.try_take() {
                    Ok(None) => assert!(start.elapsed() < Duration::from_secs(60)),
                    Ok(Some(got)) => break assert!(same(&got, y)),
                    Err(error) => break assert!(matches!(error, Error::DeviceLost(_)), "{error}"),
                }
                let _ = gpu.poll();
            }
        }
        let start = Instant::now();
        let error = loop {
            let _ = gpu.poll();
            if let Some(got) = poll_once(waits.as_mut()) {
                break got.unwrap_err();
            }
            assert!(start.elapsed() < Duration::from_secs(60));
        };
        assert!(matches!(error, Error::DeviceLost(_)), "{error}");
        assert!(matches!(program.warm_up(), Err(Error::DeviceLost(_))));
        assert!(matches!(program.time(&mut self::encoder(&gpu), &bindings), Err(Error::DeviceLost(_))));
        assert!(matches!(program.read(&mut self::encoder(&gpu), &bindings), Err(Error::DeviceLost(_))));
    }
}

/// wgpu calls an app back as it submits, too, and so from within another run of the program.
#[test]
fn a_run_that_a_callback_begins_ends() {
    let gpu = gpu(1);
    let program = Arc::new(program(&gpu));
    let (x, want) = frames(1).remove(0);
    let (sender, results) = mpsc::channel();
    // Which does not end if one of them does not.
    std::thread::spawn(move || {
        for _ in 0..20 {
            let (called, x_again, sender) = (Arc::clone(&program), x.clone(), sender.clone());
            submit(&gpu, encoder(&gpu));
            gpu.queue().on_submitted_work_done(move || sender.send(called.run(&[x_again])).unwrap());
            std::thread::sleep(Duration::from_millis(2));
            program.run(&[&x]).unwrap();
        }
    });
    for _ in 0..20 {
        match results.recv_timeout(Duration::from_secs(60)).unwrap() {
            Ok(got) => assert!(same(&got, &want)),
            Err(error) => assert!(error.to_string().contains("a callback began it"), "{error}"),
        }
    }
}
